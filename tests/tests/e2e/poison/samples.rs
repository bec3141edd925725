//! Owns the poisonous functions: each leaves a line in a file for every run, and is cured by the file beside it.
//! Never registered by a program that people use.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use longhaul_sdk::{
    Activity, ActivityContext, ActivityRegistry, BoxError, Orchestration, OrchestrationContext,
    OrchestrationError, OrchestrationRegistry,
};

/// Aborts its process in its first turn.
pub(super) const ABORTS: Orchestration<String, String> = Orchestration::new("aborts");
/// Overflows its stack once an activity has answered.
pub(super) const OVERFLOWS: Orchestration<String, String> = Orchestration::new("overflows");
/// Aborts its process in an inline step.
pub(super) const ABORTS_INLINE: Orchestration<String, String> = Orchestration::new("aborts_inline");
/// Runs one activity of this name on its input.
pub(super) const CALLS: Orchestration<(String, String), String> = Orchestration::new("calls");
/// Has several activities in flight at once, for a while.
pub(super) const FANS_OUT: Orchestration<u32, u32> = Orchestration::new("fans_out");

/// Aborts its process.
pub(super) const KILLS: Activity<String, String> = Activity::new("kills");
/// Never returns.
pub(super) const WAITS_FOR_EVER: Activity<String, String> = Activity::new("waits_for_ever");
/// Never returns and never awaits.
pub(super) const BLOCKS_FOR_EVER: Activity<String, String> = Activity::new("blocks_for_ever");
/// Takes a moment.
pub(super) const TAKES_A_MOMENT: Activity<u32, u32> = Activity::new("takes_a_moment");

/// A file to which each run of a poisonous function adds a line.
pub(super) struct Venom(PathBuf);

impl Venom {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn input(&self) -> String {
        self.0.display().to_string()
    }

    /// How often it ran.
    pub(super) fn runs(&self) -> usize {
        std::fs::read(&self.0).map_or(0, |lines| lines.len())
    }

    /// From now on it does no harm.
    pub(super) fn cure(&self) {
        std::fs::write(antidote(&self.0), "").unwrap();
    }
}

fn antidote(path: &Path) -> PathBuf {
    path.with_extension("cured")
}

/// Notes a run; whether it is to do harm.
fn is_harmful(path: &str) -> bool {
    if antidote(Path::new(path)).exists() {
        return false;
    }
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(b".").unwrap();
    true
}

fn cured() -> String {
    "cured".to_owned()
}

/// The samples' orchestrations and the poisonous ones.
pub(super) fn orchestrations() -> OrchestrationRegistry {
    longhaul_examples::orchestrations()
        .register(ABORTS, |_ctx, path: String| async move {
            if is_harmful(&path) {
                std::process::abort();
            }
            Ok(cured())
        })
        .register(OVERFLOWS, overflows)
        .register(
            ABORTS_INLINE,
            |ctx: OrchestrationContext, path: String| async move {
                let step = ctx.run("abort", move || async move {
                    if is_harmful(&path) {
                        std::process::abort();
                    }
                    Ok::<_, BoxError>(cured())
                });
                Ok(step.await?)
            },
        )
        .register(
            CALLS,
            |ctx: OrchestrationContext, (name, path): (String, String)| async move {
                let which = [KILLS, WAITS_FOR_EVER, BLOCKS_FOR_EVER];
                let activity = which.into_iter().find(|known| known.name() == name).unwrap();
                Ok(ctx.activity(activity, &path).await?)
            },
        )
        .register(FANS_OUT, |ctx: OrchestrationContext, count: u32| async move {
            let calls = (0..count).map(|number| ctx.activity(TAKES_A_MOMENT, number));
            let answers = futures::future::try_join_all(calls.collect::<Vec<_>>()).await?;
            Ok(answers.into_iter().sum())
        })
}

async fn overflows(ctx: OrchestrationContext, path: String) -> Result<String, OrchestrationError> {
    ctx.activity(TAKES_A_MOMENT, 1).await?;
    if is_harmful(&path) {
        std::hint::black_box(deeper(1));
    }
    Ok(cured())
}

#[expect(unconditional_recursion, reason = "it is to overflow the stack")]
fn deeper(depth: u64) -> u64 {
    let pad = std::hint::black_box([depth; 64]);
    deeper(depth + 1) + pad.iter().sum::<u64>()
}

/// The samples' activities and the poisonous ones.
pub(super) fn activities() -> ActivityRegistry {
    longhaul_examples::activities()
        .register(KILLS, |_ctx: ActivityContext, path: String| async move {
            if is_harmful(&path) {
                std::process::abort();
            }
            Ok::<_, BoxError>(cured())
        })
        .register(WAITS_FOR_EVER, |_ctx: ActivityContext, path: String| async move {
            if is_harmful(&path) {
                std::future::pending::<()>().await;
            }
            Ok::<_, BoxError>(cured())
        })
        .register(
            BLOCKS_FOR_EVER,
            |_ctx: ActivityContext, path: String| async move {
                while is_harmful(&path) {
                    std::thread::park_timeout(Duration::from_secs(3_600));
                }
                Ok::<_, BoxError>(cured())
            },
        )
        .register(TAKES_A_MOMENT, |_ctx: ActivityContext, number: u32| async move {
            #[expect(clippy::disallowed_methods, reason = "an activity may do anything")]
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok::<_, BoxError>(number)
        })
}

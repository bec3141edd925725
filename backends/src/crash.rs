//! Owns the death that a test has ordered: the process ends at a named step, as if it had been killed there.
//! Never in a program that operators run: the feature `crash-points` is for tests.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use longhaul_shared::port::Step;

/// `turn.committed:3` ends the process when that step is reached for the third time. With `turn.committed:3:100` the
/// task that came there stands still for 100 ms before, and everything else goes on: what was said before the step
/// has gone out, so that a premature acknowledgement does its harm.
const VARIABLE: &str = "LONGHAUL_CRASH_AT";

/// Where to die.
#[derive(Debug)]
struct Armed {
    step: Step,
    times_left: AtomicU32,
    linger: Duration,
}

/// Ends the process if this is the step, and the time, that the environment names. No destructor runs and nothing
/// is sent any more, but by the system, which closes the connections.
pub(crate) fn reached(step: Step) {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| {
        let order = std::env::var(VARIABLE).ok()?;
        // An order that nobody understands would make a test that proves nothing.
        Some(read(&order).unwrap_or_else(|| die(&format!("{VARIABLE}={order} names no step and count"))))
    });
    if let Some(armed) = armed.as_ref().filter(|armed| armed.step == step)
        && armed.times_left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        stand_still(armed.linger);
        die(&format!("crash point {step} reached"));
    }
}

fn read(order: &str) -> Option<Armed> {
    let (name, rest) = order.split_once(':')?;
    let (times, linger) = rest.split_once(':').unwrap_or((rest, "0"));
    let step = Step::ALL.iter().copied().find(|step| step.as_str() == name)?;
    let times = times.parse().ok().filter(|times| *times > 0)?;
    Some(Armed {
        step,
        times_left: AtomicU32::new(times),
        linger: Duration::from_millis(linger.parse().ok()?),
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one task that is to stand still does"
)]
fn stand_still(span: Duration) {
    if !span.is_zero() {
        tokio::task::block_in_place(|| std::thread::sleep(span));
    }
}

fn die(why: &str) -> ! {
    // Whoever does not listen learns it by the signal.
    let _unheard = writeln!(std::io::stderr(), "{why}");
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_can_be_ordered_and_nothing_else() {
        for step in Step::ALL {
            let armed = read(&format!("{step}:7")).unwrap();
            let read_so = (armed.step, armed.times_left.into_inner(), armed.linger);
            assert_eq!(read_so, (*step, 7, Duration::ZERO));
            let lingering = read(&format!("{step}:1:250")).unwrap();
            assert_eq!(lingering.linger, Duration::from_millis(250));
        }
        for wrong in [
            "",
            "turn.committed",
            "turn.committed:0",
            "turn.committed:1:x",
            "turn.comitted:1",
            "turn.committed:x",
        ] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }
}

//! Owns the death that a test has ordered: the process ends at a named step, as if it had been killed there.
//! Never in a program that operators run: the feature `crash-points` is for tests.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use longhaul_shared::port::Step;

/// `turn.committed:3` ends the process when that step is reached for the third time.
const VARIABLE: &str = "LONGHAUL_CRASH_AT";

/// Where to die.
#[derive(Debug)]
struct Armed {
    step: Step,
    times_left: AtomicU32,
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
        die(&format!("crash point {step} reached"));
    }
}

fn read(order: &str) -> Option<Armed> {
    let (name, times) = order.split_once(':')?;
    let step = Step::ALL.iter().copied().find(|step| step.as_str() == name)?;
    let times = times.parse().ok().filter(|times| *times > 0)?;
    Some(Armed {
        step,
        times_left: AtomicU32::new(times),
    })
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
            assert_eq!((armed.step, armed.times_left.into_inner()), (*step, 7));
        }
        for wrong in [
            "",
            "turn.committed",
            "turn.committed:0",
            "turn.comitted:1",
            "turn.committed:x",
        ] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }
}

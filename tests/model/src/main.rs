//! `cargo run --release -p longhaul-model -- deep`: the model in bounds too large for every test run.
//! Never part of what Longhaul ships.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a command line program that tells how long it took"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use longhaul_model::{Bounds, Faults, Protocol, Shape, check};

/// For each of the bounds; what is not visited by then is not.
const AT_MOST: Duration = Duration::from_secs(5 * 60);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments != ["deep"] {
        eprintln!("usage: longhaul-model deep");
        return ExitCode::from(2);
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    for (name, bounds) in deep() {
        let started = Instant::now();
        let protocol = Protocol { bounds, broken: None };
        match check(&protocol, threads, AT_MOST) {
            Ok(figures) => {
                let took = started.elapsed();
                let whole = if took < AT_MOST {
                    "every state"
                } else {
                    "cut off, not every state"
                };
                println!("{name}: {figures}, {took:.0?}, {whole}");
            }
            Err(violation) => {
                println!("{name}: {violation}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn deep() -> [(&'static str, Bounds); 8] {
    let none = Faults::every(0);
    let one = Bounds::calm(Shape::Sequence(1));
    let sequence = Bounds::calm(Shape::Sequence(2));
    let expiries = Faults { expiries: 1, ..none };
    let crashes = Faults { crashes: 1, ..none };
    let wipes = Faults {
        wipes: 1,
        crashes: 1,
        ..none
    };
    let refusals = Faults {
        refusals: 1,
        crashes: 1,
        ..none
    };
    [
        (
            "sequence of two, a lease that runs out",
            sequence.with(1, expiries),
        ),
        (
            "two tasks at once, a crash",
            Bounds::calm(Shape::FanOut(2)).with(1, crashes),
        ),
        (
            "one task, refused, terminated, a crash",
            one.terminated().with(2, refusals),
        ),
        (
            "one task, any one fault, a handover",
            one.handed_over(1).with(1, Faults::every(1)),
        ),
        ("one task, any two faults", one.with(2, Faults::every(2))),
        (
            "sequence of two, any one fault",
            sequence.with(1, Faults::every(1)),
        ),
        ("one task, a loss of the broker and a crash", one.with(2, wipes)),
        (
            "one task, two losses of the broker",
            one.with(2, Faults { wipes: 2, ..none }),
        ),
    ]
}

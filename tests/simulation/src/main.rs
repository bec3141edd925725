//! Owns the program `simulate`: seeds in, verdicts out.
//! Never hides how to run a failed seed again.

#![allow(clippy::print_stdout, reason = "a program for people")]

use std::process::ExitCode;

use clap::Parser;
use longhaul_simulation::campaign::{run_all, run_caught};
use longhaul_simulation::mutant::Mutant;
use longhaul_simulation::run::Report;
use longhaul_simulation::trace::Trace;

/// Runs Longhaul's loops over simulated servers, with faults that a seed decides.
#[derive(Parser)]
#[command(name = "cargo xtask simulate", version)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed, or the only one with --trace.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Run one seed and show what happened, step by step.
    #[arg(long)]
    trace: bool,
    /// The level from which the loops' own log goes into the trace.
    #[arg(long, default_value = "warn")]
    log: tracing::Level,
    /// Break a rule on purpose.
    #[arg(long, value_enum)]
    mutant: Option<Mutant>,
    /// How many seeds at once [default: one for each core].
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.trace {
        return one(&arguments);
    }
    many(&arguments)
}

fn one(arguments: &Arguments) -> ExitCode {
    let trace = Trace::kept();
    let log = trace.clone();
    let lines = tracing_subscriber::fmt()
        .with_writer(move || log.clone())
        .without_time()
        .with_ansi(false)
        .with_max_level(arguments.log)
        .finish();
    let report =
        tracing::subscriber::with_default(lines, || run_caught(arguments.seed, arguments.mutant, &trace));
    print!("{}", report.trace);
    for violation in &report.violations {
        println!("WRONG: {violation}");
    }
    println!(
        "seed {}: {} steps, {} commits, {} faults, {} s simulated",
        report.seed,
        report.steps,
        report.commits,
        report.faults,
        report.simulated / 1_000_000
    );
    if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a campaign takes is for people, no run sees it"
)]
fn many(arguments: &Arguments) -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(cores);
    let seeds = arguments.seed..arguments.seed + arguments.seeds;
    let begun = std::time::Instant::now();
    let mutant = arguments.mutant;
    let told = |report: &Report| {
        if let Some(violation) = report.violations.first() {
            let first = violation.lines().next().unwrap_or_default();
            let broken = mutant.map_or(String::new(), |mutant| {
                use clap::ValueEnum;
                let name = mutant.to_possible_value();
                format!(" --mutant {}", name.as_ref().map_or("", |name| name.get_name()))
            });
            println!("seed {} FAILED: {first}", report.seed);
            println!(
                "  again: cargo xtask simulate --seed {} --trace{broken}",
                report.seed
            );
        }
    };
    let summary = run_all(seeds, mutant, threads, &told);
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{} seeds, {} failed; {} instances (at least {} a seed), {} faults (at least {} a seed), {} commits; \
         {} steps a seed (median); {:.0} s on {threads} threads, {:.0} seeds/s",
        summary.seeds,
        summary.failed.len(),
        summary.instances,
        summary.instances_min,
        summary.faults,
        summary.faults_min,
        summary.commits,
        summary.steps_median(),
        seconds,
        f64::from(u32::try_from(summary.seeds).unwrap_or(u32::MAX)) / seconds.max(0.001)
    );
    if summary.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

//! `guard WORK`: does a fixed piece of the engine's work once, in a function whose instructions are counted
//! (`benches/tests/guard.rs`). Never measures anything itself.

use std::hint::black_box;

use anyhow::bail;
use longhaul_benches::chain;
use longhaul_orchestrator_worker::guard::Decision;
use longhaul_shared::history::{HistoryEvent, decode_events, encode_events};

/// So many events are replayed, written and read.
const EVENTS: usize = 1_000;
/// So many activities does the decided turn schedule.
const WIDTH: u32 = 100;

fn main() -> anyhow::Result<()> {
    let work = std::env::args().nth(1).unwrap_or_default();
    let history = chain::history(EVENTS)?;
    match work.as_str() {
        "replay" => replay(&history)?,
        "turn" => {
            let mut chain = chain::Chain::begin(u64::MAX)?;
            for _ in 0..EVENTS {
                turn(&mut chain)?;
            }
        }
        "encode" => drop(encode(&history)?),
        "decode" => drop(decode(&encode_events(&history)?)?),
        "decide" => {
            let decision = Decision::of(WIDTH)?;
            assert_eq!(decide(decision), WIDTH as usize);
        }
        unknown => bail!("no such work: {unknown:?}"),
    }
    Ok(())
}

#[inline(never)]
fn replay(history: &[HistoryEvent]) -> anyhow::Result<()> {
    chain::replay(black_box(history))
}

#[inline(never)]
fn turn(chain: &mut chain::Chain) -> anyhow::Result<()> {
    black_box(chain).answer()
}

#[inline(never)]
fn encode(history: &[HistoryEvent]) -> anyhow::Result<bytes::Bytes> {
    Ok(encode_events(black_box(history))?)
}

#[inline(never)]
fn decode(stored: &[u8]) -> anyhow::Result<Vec<HistoryEvent>> {
    Ok(decode_events(black_box(stored))?)
}

#[inline(never)]
fn decide(decision: Decision) -> usize {
    black_box(decision).decide()
}

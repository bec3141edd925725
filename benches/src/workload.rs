//! Owns the workloads: which orchestration is started, and what its answer must be.
//! Never measures.

use anyhow::ensure;
use longhaul_client::Client;
use longhaul_examples::contracts::{HELLO_SEQUENCE, INLINE_STEPS, SUM_OF_SQUARES};
use serde::{Deserialize, Serialize};

/// What is run over and over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Workload {
    /// Three activities, one after the other, on an activity worker.
    Hello,
    /// Three inline steps, one after the other: each is committed before the next begins.
    Inline,
    /// So many activities at once, and their sum.
    FanOut(u64),
}

impl Workload {
    /// Runs one instance to its end, and checks what it says.
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<()> {
        match self {
            Self::Hello => {
                let said = client.start(HELLO_SEQUENCE, ()).await?.wait().await?;
                ensure!(said.len() == 3, "{said:?}");
            }
            Self::Inline => {
                let squared = client.start(INLINE_STEPS, 3).await?.wait().await?;
                ensure!(squared == 64, "{squared} is not 64");
            }
            Self::FanOut(width) => {
                let sum = client.start(SUM_OF_SQUARES, width).await?.wait().await?;
                let expected: u64 = (1..=width).map(|number| number * number).sum();
                ensure!(sum == expected, "{sum} is not {expected}");
            }
        }
        Ok(())
    }
}

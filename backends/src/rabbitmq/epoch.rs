//! Owns the marker of the broker's data: an empty queue that is there for as long as nothing was lost.
//! Never declares it while looking for it.

use lapin::options::QueueDeleteOptions;
use longhaul_shared::id::Epoch;
use longhaul_shared::port::BrokerError;

use super::connection::Link;
use super::properties::short;
use super::refusal;
use super::topology::{Topology, look_for};

/// Whether the marker is there.
pub(super) async fn has(link: &Link, topology: &Topology, epoch: Epoch) -> Result<bool, BrokerError> {
    let channel = link.channel().await?;
    match look_for(link, &channel, &topology.epoch_queue(epoch)).await {
        Ok(_consumers) => {
            link.close_channel(&channel).await;
            Ok(true)
        }
        Err(BrokerError::Missing { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Leaves the marker.
pub(super) async fn declare(link: &Link, topology: &Topology, epoch: Epoch) -> Result<(), BrokerError> {
    let channel = link.channel().await?;
    topology
        .declare(link, &channel, &topology.epoch_queue(epoch))
        .await?;
    link.close_channel(&channel).await;
    Ok(())
}

/// Takes the marker away.
pub(super) async fn withdraw(link: &Link, topology: &Topology, epoch: Epoch) -> Result<(), BrokerError> {
    let channel = link.channel().await?;
    let queue = topology.epoch_queue(epoch);
    let deleted = channel.queue_delete(short(&queue), QueueDeleteOptions::default());
    // Deleting a queue that is not there is no error.
    link.rpc("queue.delete", deleted)
        .await?
        .map_err(|error| refusal::unavailable(link.address(), refusal::words(&error)))?;
    link.close_channel(&channel).await;
    Ok(())
}

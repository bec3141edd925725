//! Owns setting a message aside: kept in the store first, then a copy for the broker's dead queue.
//! Never loses it: the caller acknowledges the original only after this returns.

use std::time::Duration;

use longhaul_shared::codec;
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::port::Ports;

/// Delays between attempts while the store takes nothing.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Sets a message aside, waiting for the store as long as it takes. The copy for the dead queue is a courtesy to
/// the broker's own tools: if it cannot be published, the store's record is all there is, and enough.
pub(crate) async fn park(ports: &Ports, message: ParkedMessage) {
    let copy = codec::dead_message(&message);
    let mut delay = RETRY_FIRST;
    while let Err(error) = ports.store.park(message.clone()).await {
        tracing::error!(parked_id = %message.id, %error, "a message cannot be parked; tried again in {delay:?}");
        ports.runtime.sleep(delay).await;
        delay = (delay * 2).min(RETRY_MAX);
    }
    if let Some(Err(error)) = ports.broker.publish(vec![copy]).await.into_iter().next() {
        tracing::warn!(parked_id = %message.id, %error, "no copy of a parked message went to the dead queue");
    }
}

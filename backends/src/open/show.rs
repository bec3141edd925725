//! Owns the way from a program's `listen` key to pages that answer.
//! Never lets a program fail for the sake of a default: two workers on one machine are nothing wrong.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::FutureExt;
use longhaul_shared::code;
use longhaul_shared::port::{Runtime, TaskHandle};
use longhaul_telemetry::Program;

use crate::config::{Config, Listen, Origin};

/// The pages cannot be shown where the operator wants them.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "[{}] {key} = {address} ({origin}) cannot be listened on: {reason}. {}",
    code::LISTEN_FAILED,
    code::LISTEN_FAILED.fix()
)]
pub struct ListenError {
    /// Which key says so.
    pub key: &'static str,
    /// Where it was to be.
    pub address: SocketAddr,
    /// Where that was said.
    pub origin: Origin,
    /// Why not.
    pub reason: String,
}

/// Shows a program's pages where the key says, for as long as the handle is held. `None` where it says nowhere, or where
/// the default cannot be had.
///
/// # Errors
/// [`ListenError`] when somebody said an address and it cannot be had.
pub async fn show(
    program: &Program,
    config: &Config,
    key: &'static str,
    listen: Listen,
    runtime: &Arc<dyn Runtime>,
) -> Result<Option<TaskHandle>, ListenError> {
    let Listen(Some(address)) = listen else {
        return Ok(None);
    };
    match program.listen(address).await {
        Ok((address, serving)) => {
            tracing::info!("metrics and health: http://{address}/metrics, /healthz, /readyz");
            Ok(Some(runtime.spawn("endpoint", serving.boxed())))
        }
        Err(error) => {
            let origin = config.origin(key);
            if matches!(origin, Origin::Default) {
                tracing::warn!(
                    "metrics and health are not shown: {address} cannot be listened on ({error}); say another \
                     address with {key}"
                );
                return Ok(None);
            }
            Err(ListenError {
                key,
                address,
                origin,
                reason: error.to_string(),
            })
        }
    }
}

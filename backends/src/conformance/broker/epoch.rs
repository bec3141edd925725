//! Owns what holds for the epoch's marker, by which the loss of a broker's data is told.
//! Never loses a broker's data: that is each backend's own test.

use longhaul_shared::id::Epoch;

use super::{BrokerHub, work};

/// A marker is there once it was declared, however often that was; others are not.
pub async fn a_marker_is_there_once_declared(hub: BrokerHub) {
    for _ in 0..2 {
        assert_eq!(hub.broker.declare_epoch(Epoch::new(3)).await, Ok(()));
        assert_eq!(hub.broker.has_epoch(Epoch::new(3)).await, Ok(true));
        assert_eq!(hub.broker.has_epoch(Epoch::new(2)).await, Ok(false));
        assert_eq!(hub.broker.has_epoch(Epoch::new(4)).await, Ok(false));
    }
    assert_eq!(hub.broker.declare_epoch(Epoch::new(4)).await, Ok(()));
    assert_eq!(hub.broker.has_epoch(Epoch::new(4)).await, Ok(true));
}

/// A marker that was taken away is gone, alone, and taking it away again is harmless.
pub async fn a_withdrawn_marker_is_gone(hub: BrokerHub) {
    let other = Epoch { number: 3, nonce: 9 };
    for epoch in [Epoch::new(3), other] {
        assert_eq!(hub.broker.declare_epoch(epoch).await, Ok(()));
    }
    for _ in 0..2 {
        assert_eq!(hub.broker.withdraw_epoch(Epoch::new(3)).await, Ok(()));
        assert_eq!(hub.broker.has_epoch(Epoch::new(3)).await, Ok(false));
        assert_eq!(hub.broker.has_epoch(other).await, Ok(true));
    }
}

/// Asking for a marker does not make it, however often, nor does declaring the hub's queues.
pub async fn asking_does_not_declare(hub: BrokerHub) {
    for epoch in [0, 1] {
        for _ in 0..3 {
            assert_eq!(hub.broker.has_epoch(Epoch::new(epoch)).await, Ok(false));
        }
    }
    hub.publish(&work(), [1]).await;
}

/// As long as nothing breaks, the connection's generation stands.
pub async fn the_generation_stands_while_nothing_breaks(hub: BrokerHub) {
    hub.publish(&work(), [1]).await;
    let before = hub.broker.connection_generation();
    assert_eq!(
        hub.broker.has_epoch(Epoch::new(7)).await,
        Ok(false),
        "a failed look breaks nothing"
    );
    hub.publish(&work(), [2]).await;
    assert_eq!(hub.broker.connection_generation(), before);
}

//! Owns the step between an author's own types and payloads.
//! Never chooses an encoding: [`Payload`] does.
//!
//! A `Payload` is passed through as it is, so that a contract over `Payload` is an untyped one.

use std::any::Any;

use longhaul_shared::failure::{Failure, FailureKind};
use longhaul_shared::payload::{DecodeError, EncodeError, Payload};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The payload of a value; a `Payload` is its own, once its size is checked.
pub(crate) fn to_payload<T: Serialize + 'static>(value: &T) -> Result<Payload, EncodeError> {
    match (value as &dyn Any).downcast_ref::<Payload>() {
        Some(payload) => Ok(payload.clone().checked()?),
        None => Payload::encode(value),
    }
}

/// The value of a payload; a `Payload` is its own.
pub(crate) fn from_payload<T: DeserializeOwned + 'static>(payload: Payload) -> Result<T, DecodeError> {
    let mut as_is = Some(payload);
    match (&mut as_is as &mut dyn Any).downcast_mut::<Option<T>>() {
        Some(own) => own.take().ok_or(()),
        None => Err(()),
    }
    .or_else(|()| as_is.unwrap_or_else(Payload::unit).decode())
}

/// Why a value that should leave a function cannot: never worth another attempt.
pub(crate) fn encode_failure(what: &str, error: &EncodeError) -> Failure {
    let kind = match error {
        EncodeError::Refused { .. } => FailureKind::Undecodable,
        EncodeError::TooLarge(_) => FailureKind::OverLimit,
    };
    Failure::new(kind, format!("{what} cannot be sent: {error}")).not_retriable()
}

/// Why a value that should enter a function cannot: never worth another attempt.
pub(crate) fn decode_failure(what: &str, error: &DecodeError) -> Failure {
    Failure::new(
        FailureKind::Undecodable,
        format!("{what} cannot be read: {error}"),
    )
    .not_retriable()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_passes_through_untouched() {
        let payload = Payload::json(r#"{"a":1}"#).unwrap();
        assert_eq!(to_payload(&payload).unwrap(), payload);
        assert_eq!(from_payload::<Payload>(payload.clone()).unwrap(), payload);
    }

    #[test]
    fn any_other_value_is_encoded_and_read_back() {
        let payload = to_payload(&vec![1_u8, 2]).unwrap();
        assert_eq!(from_payload::<Vec<u8>>(payload).unwrap(), [1, 2]);
        assert_eq!(from_payload::<()>(Payload::unit()).unwrap(), ());
        assert_eq!(from_payload::<Option<u8>>(Payload::unit()).unwrap(), None);
    }
}

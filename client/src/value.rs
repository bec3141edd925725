//! Owns the step between a caller's own types and payloads.
//! Never chooses an encoding: [`Payload`] does.
//!
//! A `Payload` is passed through as it is, as everywhere in `sdk`, so that a contract over `Payload` is untyped.

use std::any::Any;

use longhaul_shared::payload::{DecodeError, EncodeError, Payload};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) fn to_payload<T: Serialize + 'static>(value: &T) -> Result<Payload, EncodeError> {
    match (value as &dyn Any).downcast_ref::<Payload>() {
        Some(payload) => Ok(payload.clone().checked()?),
        None => Payload::encode(value),
    }
}

pub(crate) fn from_payload<T: DeserializeOwned + 'static>(payload: Payload) -> Result<T, DecodeError> {
    let mut own = Some(payload);
    if let Some(same) = (&mut own as &mut dyn Any).downcast_mut::<Option<T>>()
        && let Some(value) = same.take()
    {
        return Ok(value);
    }
    own.unwrap_or_else(Payload::unit).decode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_passes_through_untouched_and_anything_else_is_encoded() {
        let payload = Payload::json(r#"{"a":1}"#).unwrap();
        assert_eq!(to_payload(&payload).unwrap(), payload);
        assert_eq!(from_payload::<Payload>(payload.clone()).unwrap(), payload);

        let encoded = to_payload(&vec![1_u8, 2]).unwrap();
        assert_eq!(from_payload::<Vec<u8>>(encoded).unwrap(), [1, 2]);
        assert_eq!(from_payload::<()>(Payload::unit()).unwrap(), ());
    }
}

//! Owns the payload: what an author's value looks like while it is stored or sent.
//! Never looks inside one on the way: the engine, the hosts and the backends treat it as opaque bytes.
//!
//! Rust writes msgpack with named fields and reads either encoding; only the edges that must show JSON
//! (command line, HTTP) transcode.

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::limits;

/// How a payload's bytes are to be read. The codes are stored: pinned, never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub enum Encoding {
    /// Msgpack; structs as maps with named fields.
    Msgpack = 1,
    /// JSON text in UTF-8.
    Json = 2,
    /// Bytes without a meaning known to Longhaul.
    Bytes = 3,
}

impl From<Encoding> for u8 {
    fn from(encoding: Encoding) -> Self {
        encoding as Self
    }
}

impl TryFrom<u8> for Encoding {
    type Error = String;
    fn try_from(code: u8) -> Result<Self, String> {
        match code {
            1 => Ok(Self::Msgpack),
            2 => Ok(Self::Json),
            3 => Ok(Self::Bytes),
            other => Err(format!("payload encoding {other} is not known to this version")),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Msgpack => "msgpack",
            Self::Json => "json",
            Self::Bytes => "bytes",
        })
    }
}

/// An encoded value of an author's own type, opaque to Longhaul. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Payload {
    /// How to read the bytes.
    #[serde(rename = "e")]
    pub encoding: Encoding,
    /// The bytes.
    #[serde(rename = "d")]
    pub data: Bytes,
}

/// Why a value could not become a payload.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EncodeError {
    /// The value's own `Serialize` refused.
    #[error("the value cannot be encoded as {encoding}: {reason}")]
    Refused {
        /// The encoding asked for.
        encoding: Encoding,
        /// What the encoder said.
        reason: String,
    },
    /// The encoded value is over [`limits::PAYLOAD_BYTES_MAX`].
    #[error(transparent)]
    TooLarge(#[from] PayloadTooLarge),
}

/// A payload over the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "[LH1105] the payload has {bytes} bytes and at most {} are allowed (PAYLOAD_BYTES_MAX): store it elsewhere and pass a reference",
    limits::PAYLOAD_BYTES_MAX
)]
pub struct PayloadTooLarge {
    /// How large it is.
    pub bytes: usize,
}

/// Why a payload could not be read as the wanted type.
#[derive(Debug, Clone, thiserror::Error)]
#[error("a {encoding} payload of {bytes} bytes cannot be read as {wanted}: {reason}")]
pub struct DecodeError {
    /// The payload's encoding.
    pub encoding: Encoding,
    /// Its size.
    pub bytes: usize,
    /// The type asked for.
    pub wanted: &'static str,
    /// What the decoder said.
    pub reason: String,
}

impl Payload {
    /// Encodes a value as msgpack with named fields.
    ///
    /// # Errors
    /// [`EncodeError`] when the value refuses or is over [`limits::PAYLOAD_BYTES_MAX`].
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        let data = rmp_serde::to_vec_named(value).map_err(|e| EncodeError::Refused {
            encoding: Encoding::Msgpack,
            reason: e.to_string(),
        })?;
        Ok(Self {
            encoding: Encoding::Msgpack,
            data: data.into(),
        }
        .checked()?)
    }

    /// The payload of JSON text; the text itself is not looked at.
    ///
    /// # Errors
    /// [`PayloadTooLarge`] over [`limits::PAYLOAD_BYTES_MAX`].
    pub fn json(text: impl Into<Bytes>) -> Result<Self, PayloadTooLarge> {
        Self {
            encoding: Encoding::Json,
            data: text.into(),
        }
        .checked()
    }

    /// The payload of a JSON value.
    ///
    /// # Errors
    /// [`PayloadTooLarge`] over [`limits::PAYLOAD_BYTES_MAX`].
    pub fn from_json_value(value: &serde_json::Value) -> Result<Self, PayloadTooLarge> {
        Self::json(value.to_string())
    }

    /// The payload of `()`: nothing.
    #[must_use]
    pub fn unit() -> Self {
        Self {
            encoding: Encoding::Msgpack,
            data: Bytes::from_static(&[0xc0]),
        }
    }

    /// The same payload, once its size is known to be within bounds.
    ///
    /// # Errors
    /// [`PayloadTooLarge`] over [`limits::PAYLOAD_BYTES_MAX`].
    pub fn checked(self) -> Result<Self, PayloadTooLarge> {
        if self.data.len() > limits::PAYLOAD_BYTES_MAX {
            return Err(PayloadTooLarge {
                bytes: self.data.len(),
            });
        }
        Ok(self)
    }

    /// Reads the payload as a value.
    ///
    /// # Errors
    /// [`DecodeError`] names the type that was wanted and what the decoder said.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        let reason = match self.encoding {
            Encoding::Msgpack => match rmp_serde::from_slice(&self.data) {
                Ok(value) => return Ok(value),
                Err(e) => e.to_string(),
            },
            Encoding::Json => match serde_json::from_slice(&self.data) {
                Ok(value) => return Ok(value),
                Err(e) => e.to_string(),
            },
            Encoding::Bytes => "it holds plain bytes".to_owned(),
        };
        Err(DecodeError {
            encoding: self.encoding,
            bytes: self.data.len(),
            wanted: std::any::type_name::<T>(),
            reason,
        })
    }

    /// The payload as JSON for people: msgpack is transcoded, plain bytes are shown by their size, and what
    /// cannot be shown says why. Never fails.
    #[must_use]
    pub fn to_json_value(&self) -> serde_json::Value {
        let shown = match self.encoding {
            Encoding::Bytes => return serde_json::Value::String(format!("<{} bytes>", self.data.len())),
            Encoding::Msgpack => {
                let mut reader = rmp_serde::Deserializer::from_read_ref(&self.data);
                reader.set_max_depth(limits::JSON_DEPTH_MAX);
                serde_json::Value::deserialize(&mut reader).map_err(|e| e.to_string())
            }
            Encoding::Json => serde_json::from_slice(&self.data).map_err(|e| e.to_string()),
        };
        shown.unwrap_or_else(|reason| {
            serde_json::Value::String(format!(
                "<{} bytes of {}: {reason}>",
                self.data.len(),
                self.encoding
            ))
        })
    }

    /// How many bytes the payload takes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether it has no bytes at all; even `()` has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }
}

impl fmt::Debug for Payload {
    /// Size and encoding only: payloads are never logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes of {}>", self.data.len(), self.encoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Order {
        id: u32,
        note: Option<String>,
    }

    #[test]
    fn msgpack_and_json_read_as_the_same_value() {
        let order = Order { id: 7, note: None };
        let packed = Payload::encode(&order).unwrap();
        let text = Payload::json(r#"{"id":7,"note":null}"#).unwrap();
        assert_eq!(packed.decode::<Order>().unwrap(), order);
        assert_eq!(text.decode::<Order>().unwrap(), order);
        assert_eq!(packed.to_json_value(), text.to_json_value());
    }

    #[test]
    fn an_added_field_does_not_break_an_old_reader() {
        #[derive(Serialize)]
        struct Newer {
            id: u32,
            note: Option<String>,
            added: bool,
        }
        let newer = Payload::encode(&Newer {
            id: 1,
            note: None,
            added: true,
        })
        .unwrap();
        assert_eq!(newer.decode::<Order>().unwrap(), Order { id: 1, note: None });
    }

    #[test]
    fn over_the_limit_names_the_limit() {
        let error = Payload::encode(&"x".repeat(limits::PAYLOAD_BYTES_MAX)).unwrap_err();
        assert!(error.to_string().contains("PAYLOAD_BYTES_MAX"), "{error}");
        assert!(error.to_string().contains("524288"), "{error}");
    }

    #[test]
    fn unit_is_what_encode_makes_of_it() {
        assert_eq!(Payload::encode(&()).unwrap(), Payload::unit());
    }

    #[test]
    fn what_cannot_be_shown_says_why() {
        let broken = Payload {
            encoding: Encoding::Json,
            data: Bytes::from_static(b"{"),
        };
        assert!(
            broken
                .to_json_value()
                .as_str()
                .unwrap()
                .starts_with("<1 bytes of json: ")
        );
    }
}

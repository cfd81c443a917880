//! The scalars of the documents: counts, sizes, durations and shares, as people write them.

mod bytes;
mod count;
mod decimal;
mod duration;
mod share;

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Visitor};

pub use bytes::Bytes;
pub use count::Count;
pub use duration::Duration;
pub use share::Share;

/// Why a text is not the scalar that was wanted; the message quotes the text and says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScalarError(pub(crate) String);

/// Reads a scalar that may be written as a number or as a text.
pub(crate) fn deserialize<'de, D, T>(deserializer: D, wanted: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err = ScalarError>,
{
    struct Either<T>(&'static str, std::marker::PhantomData<T>);

    impl<T: std::str::FromStr<Err = ScalarError>> Visitor<'_> for Either<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }
    }

    deserializer.deserialize_any(Either(wanted, std::marker::PhantomData))
}

/// Serde and schema of a scalar type: a text on the way out, a number or a text on the way in.
macro_rules! scalar {
    ($name:ident, $wanted:literal, $schema:tt) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::scalar::deserialize(deserializer, $wanted)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }

            fn inline_schema() -> bool {
                true
            }
        }
    };
}
pub(crate) use scalar;

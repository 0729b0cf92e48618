//! What the connectors share: where a URL leads, looking up its name, trying its
//! addresses, following redirects, reading a refusal. It knows no runtime.

#[cfg(any(feature = "smol", feature = "tokio"))]
mod held;
#[cfg(any(feature = "blocking", feature = "smol", feature = "tokio"))]
mod lookup;
#[cfg(any(feature = "blocking", feature = "smol", feature = "tokio"))]
mod plan;
mod retry_after;
#[cfg(any(feature = "blocking", feature = "smol", feature = "tokio"))]
mod settings;
#[cfg(any(feature = "smol", feature = "tokio"))]
mod staggered;
#[cfg(any(feature = "blocking", feature = "smol", feature = "tokio"))]
mod url;

#[cfg(any(feature = "smol", feature = "tokio"))]
pub(crate) use held::Held;
#[cfg(feature = "blocking")]
pub(crate) use lookup::Lookup;
#[cfg(feature = "blocking")]
pub(crate) use plan::Plan;
pub(crate) use retry_after::retry_after;
#[cfg(feature = "blocking")]
pub(crate) use settings::Addresses;
#[cfg(any(feature = "blocking", feature = "smol", feature = "tokio"))]
pub use settings::Dialer;
#[cfg(any(feature = "blocking", feature = "smol", feature = "tokio"))]
pub(crate) use settings::{Begun, prepare};
#[cfg(any(feature = "blocking", feature = "smol", feature = "tokio"))]
pub(crate) use url::Target;

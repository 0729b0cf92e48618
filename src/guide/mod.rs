//! Guides: each answers one question in ten minutes or less. They are documentation
//! alone; there is nothing to call here. Where code needs a runtime it is tokio's: `smol` and
//! `blocking` have the same functions under the same names.
//!
//! | question | guide |
//! | --- | --- |
//! | Which intervals, and what do proxies do? | [`intervals`] |
//! | What can be set, and why are the defaults what they are? | [`settings`] |
//! | How do I ping in the protocol that my server speaks? | [`pings`] |
//! | What about laptops and phones that sleep and move? | [`devices`] |
//! | What about browsers? | [`browsers`] |
//! | How does a server restart without being overrun? | [`servers`] |
//! | How do I hold ten thousand connections, or a million? | [`crowds`] |
//! | Where does the login go? | [`logins`] |
//! | What if the server refuses me: 401, 4401? | [`refusals`] |
//! | Which messages are lost when a connection drops? | [`lost_messages`] |
//! | How do I test that my client reconnects? | [`testing`] |
//! | How do I use it in my own event loop? | [`event_loop`] |
//! | What can I watch in production? | [`metrics`] |
//! | What does a message cost? | [`costs`] |
//! | I have something else already: what changes? | [`migrating`] |
//! | What stays as it is, and what may change? | [`stability`] |

#[doc = include_str!("browsers.md")]
pub mod browsers {}
#[doc = include_str!("costs.md")]
pub mod costs {}
#[doc = include_str!("crowds.md")]
pub mod crowds {}
#[doc = include_str!("devices.md")]
pub mod devices {}
#[doc = include_str!("event_loop.md")]
pub mod event_loop {}
#[doc = include_str!("intervals.md")]
pub mod intervals {}
#[doc = include_str!("logins.md")]
pub mod logins {}
#[doc = include_str!("lost_messages.md")]
pub mod lost_messages {}
#[doc = include_str!("metrics.md")]
pub mod metrics {}
#[doc = include_str!("migrating.md")]
pub mod migrating {}
#[doc = include_str!("pings.md")]
pub mod pings {}
#[doc = include_str!("refusals.md")]
pub mod refusals {}
#[doc = include_str!("servers.md")]
pub mod servers {}
#[doc = include_str!("settings.md")]
pub mod settings {}
#[doc = include_str!("stability.md")]
pub mod stability {}
#[doc = include_str!("testing.md")]
pub mod testing {}

//! What a page and a worker have in common.

use core::time::Duration;

use web_sys::js_sys::{self, Date, Math, Reflect, Uint8Array};
use web_sys::wasm_bindgen::JsCast;
use web_sys::{Crypto, EventTarget, Performance, Url};

/// A seed that no other client has, from the browser's `crypto.getRandomValues`.
///
/// Where there is none, from `Math.random`, which each page has started otherwise. A
/// hasher of the standard library would give the same one in all pages.
#[must_use]
pub fn seed() -> u64 {
    let mut bytes = [0; 8];
    // A view of this memory is refused where threads share it.
    let array = Uint8Array::new_with_length(8);
    let crypto = property::<Crypto>("crypto");
    let is_filled = |crypto: Crypto| {
        let filled = crypto.get_random_values_with_array_buffer_view(&array);
        filled.is_ok()
    };
    if crypto.is_some_and(is_filled) {
        array.copy_to(&mut bytes);
    } else {
        bytes.fill_with(|| (Math::random() * 256.0) as u8);
    }
    u64::from_ne_bytes(bytes)
}

/// What the system's clock shows, which runs on while the machine sleeps.
pub(super) fn system_time() -> Duration {
    millis(Date::now())
}

pub(super) fn performance() -> Option<Performance> {
    property("performance")
}

/// What is told that the network came or went.
pub(super) fn event_target() -> Option<EventTarget> {
    js_sys::global().dyn_into().ok()
}

/// An address as the newest browsers take it: relative to the page, and `http` for `ws`.
pub(super) fn address(url: &str) -> Result<String, web_sys::wasm_bindgen::JsValue> {
    let url = match base() {
        Some(base) => Url::new_with_base(url, &base)?,
        None => Url::new(url)?,
    };
    match url.protocol().as_str() {
        "http:" => url.set_protocol("ws:"),
        "https:" => url.set_protocol("wss:"),
        _ => {}
    }
    Ok(url.href())
}

/// A worker has no document.
fn base() -> Option<String> {
    let document = web_sys::window().and_then(|window| window.document());
    match document {
        Some(document) => document.base_uri().ok()?,
        None => {
            let location = Reflect::get(&js_sys::global(), &"location".into()).ok()?;
            Reflect::get(&location, &"href".into()).ok()?.as_string()
        }
    }
}

pub(super) fn millis(millis: f64) -> Duration {
    Duration::try_from_secs_f64(millis / 1000.0).unwrap_or_default()
}

fn property<T: JsCast>(name: &str) -> Option<T> {
    let value = Reflect::get(&js_sys::global(), &name.into()).ok()?;
    value.dyn_into().ok()
}

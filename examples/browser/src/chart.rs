//! The latest round trips as bars, and where the connection was down between them.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use wasm_bindgen::JsValue;
use web_sys::{Document, Element};

use crate::text;
use crate::view::{element, set};

/// How many fit in.
const SLOTS: usize = 40;
/// The size of a slot, as in `index.html`.
const WIDTH: f64 = 15.0;
const HEIGHT: f64 = 100.0;

pub(crate) struct Chart {
    /// In milliseconds; `None` for a down.
    slots: VecDeque<Option<f64>>,
    pongs: Element,
    downs: Element,
    scale: Element,
}

impl Chart {
    pub(crate) fn new(document: &Document) -> Result<Self, JsValue> {
        Ok(Self {
            slots: VecDeque::with_capacity(SLOTS),
            pongs: element(document, "bars")?,
            downs: element(document, "gaps")?,
            scale: element(document, "scale")?,
        })
    }

    pub(crate) fn pong(&mut self, round_trip: Duration) {
        self.add(Some(round_trip.as_secs_f64() * 1000.0));
    }

    pub(crate) fn down(&mut self) {
        self.add(None);
    }

    fn add(&mut self, slot: Option<f64>) {
        if self.slots.len() == SLOTS {
            self.slots.pop_front();
        }
        self.slots.push_back(slot);
        let (mut pongs, mut downs) = (String::new(), String::new());
        let top = round(self.slots.iter().flatten().copied().fold(0.0, f64::max));
        for (number, slot) in self.slots.iter().enumerate() {
            let x = (number as f64 + 0.5) * WIDTH;
            // Writing to a string does not fail.
            let _ = match slot {
                Some(millis) => write!(pongs, "M{x},{HEIGHT}v{:.1}", -millis / top * HEIGHT),
                None => write!(downs, "M{x},{HEIGHT}v-{HEIGHT}"),
            };
        }
        set(&self.pongs, "d", &pongs);
        set(&self.downs, "d", &downs);
        let top = Duration::from_millis(top as u64);
        self.scale.set_text_content(Some(&text::setting(top)));
    }
}

/// The next of 1, 2, 5, 10, 20 and so on.
fn round(millis: f64) -> f64 {
    let mut top = 1.0;
    for factor in [2.0, 2.5, 2.0].into_iter().cycle() {
        if millis <= top {
            break;
        }
        top *= factor;
    }
    top
}

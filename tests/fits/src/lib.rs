//! A session of `keepalive` on each library that the docs of `keepalive::session` say
//! fits, with the lines that it takes: copy the module of yours.

pub mod actix_ws;
pub mod framed;
pub mod hyper_tungstenite;
pub mod poem;
pub mod reqwest_websocket;
pub mod salvo;
pub mod warp;
pub mod yawc;

//! What a client says to each kind of peer: the codec, the login, and data. The codecs are
//! those of the guide `pings`.

use std::time::Duration;

use keepalive::driver::{Codec, Incoming};
use keepalive::{Closed, Config, ConfigBuilder, PingId};
use serde_json::{Value, json};
use tungstenite::Message;
use tungstenite::client::IntoClientRequest;

use super::{Kind, Peer};
use crate::{Adapter, Client, Target};

/// How the clients of this kind of peer speak.
#[derive(Clone, Copy, Debug)]
pub struct Speech(pub Kind);

impl Speech {
    /// The settings with what the protocol asks for.
    pub fn settings(self, settings: ConfigBuilder) -> ConfigBuilder {
        let login = Some(Duration::from_secs(10));
        match self.0 {
            Kind::EngineIo => settings.listen_only(true),
            Kind::SocketIo => settings.listen_only(true).healthy_within(login),
            Kind::GraphqlWs | Kind::Phoenix | Kind::SignalR => settings.healthy_within(login),
            Kind::Exchange | Kind::ExchangeId => settings.healthy_within(login).always_ping(true),
            _ => settings,
        }
    }

    /// Whether this adapter can.
    #[must_use]
    pub fn runs_on(self, adapter: Adapter) -> bool {
        self.0 != Kind::GraphqlWs || adapter.dials_all()
    }

    /// A client of this peer, with its codec and its login.
    #[must_use]
    pub fn client(self, adapter: Adapter, config: Config, target: Target) -> Client {
        let opened = move |send: &mut dyn FnMut(Message)| self.login().into_iter().for_each(send);
        let welcomes = move |message: &Message| self.is_welcome(message);
        Client::start_as(adapter, config, self, target, opened, welcomes)
    }

    /// Whom that client dials.
    ///
    /// # Panics
    ///
    /// Where the peer has no URL that is one.
    #[must_use]
    pub fn target(self, peer: &Peer) -> Target {
        let mut target = Target::new(peer.url());
        if self.0 == Kind::GraphqlWs {
            let mut request = target.url.as_str().into_client_request().unwrap();
            let protocol = "graphql-transport-ws".parse().unwrap();
            request
                .headers_mut()
                .insert("Sec-WebSocket-Protocol", protocol);
            target.request = Some(request);
        }
        target
    }

    /// A data message with this text, which the peer echoes.
    #[must_use]
    pub fn data(self, text: &str) -> Message {
        Message::text(match self.0 {
            Kind::EngineIo => format!("4{text}"),
            Kind::SocketIo => format!("42{}", json!(["say", text])),
            Kind::GraphqlWs => {
                let payload = json!({
                    "query": "query ($text: String!) { echo(text: $text) }",
                    "variables": { "text": text },
                });
                let id = format!("m{}", fastrand::u64(..));
                json!({ "type": "subscribe", "id": id, "payload": payload }).to_string()
            }
            Kind::Phoenix => json!(["1", "2", "room:1", "say", { "text": text }]).to_string(),
            Kind::SignalR => record(&json!({ "type": 1, "target": "say", "arguments": [text] })),
            Kind::Exchange | Kind::ExchangeId => json!({ "op": "order", "text": text }).to_string(),
            _ => text.to_owned(),
        })
    }

    /// The text of a data message, by `data` or echoed; `None` for the protocol's own.
    #[must_use]
    pub fn text(self, message: &Message) -> Option<String> {
        let Message::Text(text) = message else {
            return None;
        };
        let text = text.as_str();
        let value = |text: &str| serde_json::from_str::<Value>(text).ok();
        let owned = |value: &Value| value.as_str().map(str::to_owned);
        match self.0 {
            Kind::EngineIo => text.strip_prefix('4').map(str::to_owned),
            Kind::SocketIo => owned(&value(text.strip_prefix("42")?)?[1]),
            Kind::GraphqlWs => {
                let payload = &value(text)?["payload"];
                owned(&payload["data"]["echo"]).or_else(|| owned(&payload["variables"]["text"]))
            }
            Kind::Phoenix => owned(&value(text)?[4]["text"]),
            Kind::SignalR => {
                let mut records = text.split_terminator('\u{1e}');
                records.find_map(|one| owned(&value(one)?["arguments"][0]))
            }
            Kind::Exchange | Kind::ExchangeId => owned(&value(text)?["text"]),
            _ => Some(text.to_owned()),
        }
    }

    pub(super) fn path(self) -> &'static str {
        match self.0 {
            Kind::EngineIo => "/engine.io/?EIO=4&transport=websocket",
            Kind::SocketIo => "/socket.io/?EIO=4&transport=websocket",
            _ => "/",
        }
    }

    fn login(self) -> Option<Message> {
        Some(Message::text(match self.0 {
            Kind::SocketIo => "40".to_owned(),
            Kind::GraphqlWs => json!({ "type": "connection_init" }).to_string(),
            Kind::Phoenix => json!(["1", "1", "room:1", "phx_join", {}]).to_string(),
            Kind::SignalR => record(&json!({ "protocol": "json", "version": 1 })),
            Kind::Exchange | Kind::ExchangeId => {
                json!({ "op": "subscribe", "args": ["trades"] }).to_string()
            }
            _ => return None,
        }))
    }

    fn is_welcome(self, message: &Message) -> bool {
        let Message::Text(text) = message else {
            return false;
        };
        let value = || serde_json::from_str::<Value>(text).unwrap_or_default();
        match self.0 {
            Kind::SocketIo => text.starts_with("40"),
            Kind::GraphqlWs => value()["type"] == "connection_ack",
            Kind::Phoenix => value()[1] == "1" && value()[4]["status"] == "ok",
            Kind::SignalR => text.as_str() == "{}\u{1e}",
            Kind::Exchange | Kind::ExchangeId => value()["event"] == "subscribed",
            _ => false,
        }
    }
}

impl Codec<Message> for Speech {
    type Message = Message;

    fn ping(&mut self, id: PingId) -> Option<Message> {
        // A string: a number of JSON's may have 53 bits.
        let id = u64::from_be_bytes(id.to_bytes()).to_string();
        Some(Message::text(match self.0 {
            Kind::GraphqlWs => json!({ "type": "ping", "payload": { "id": id } }).to_string(),
            Kind::Phoenix => json!([null, id, "phoenix", "heartbeat", {}]).to_string(),
            Kind::SignalR => record(&json!({ "type": 6 })),
            Kind::Exchange => json!({ "op": "ping" }).to_string(),
            Kind::ExchangeId => json!({ "id": id, "method": "ping" }).to_string(),
            _ => return None,
        }))
    }

    fn read(&mut self, message: Message) -> Incoming<Message, Message> {
        let Message::Text(text) = &message else {
            return Incoming::Message(message);
        };
        match self.0 {
            Kind::EngineIo | Kind::SocketIo => match text.as_str() {
                "2" => Incoming::Ping(Message::text("3")),
                "1" => Incoming::Closed(Closed::default(), String::new()),
                "6" => Incoming::Control,
                _ => Incoming::Message(message),
            },
            Kind::SignalR => {
                let is_ping = |record: &str| record.contains(r#""type":6"#);
                match text.split_terminator('\u{1e}').all(is_ping) {
                    true => Incoming::Control,
                    false => Incoming::Message(message),
                }
            }
            Kind::GraphqlWs | Kind::Phoenix | Kind::Exchange | Kind::ExchangeId => {
                let value: Value = match serde_json::from_str(text) {
                    Ok(value) => value,
                    Err(_) => return Incoming::Message(message),
                };
                self.answer(&value).unwrap_or(Incoming::Message(message))
            }
            _ => Incoming::Message(message),
        }
    }
}

impl Speech {
    fn answer(self, value: &Value) -> Option<Incoming<Message, Message>> {
        let pong = |id: &Value| {
            let id = id.as_str()?.parse::<u64>().ok()?;
            Some(Incoming::Pong(PingId::from_bytes(id.to_be_bytes())))
        };
        match self.0 {
            Kind::GraphqlWs if value["type"] == "pong" => pong(&value["payload"]["id"]),
            Kind::GraphqlWs if value["type"] == "ping" => {
                let mut answer = value.clone();
                answer["type"] = "pong".into();
                Some(Incoming::Ping(Message::text(answer.to_string())))
            }
            Kind::Phoenix if value[2] == "phoenix" && value[3] == "phx_reply" => pong(&value[1]),
            Kind::Exchange if value["op"] == "pong" => Some(Incoming::AnyPong),
            Kind::ExchangeId if value["result"] == "pong" => pong(&value["id"]),
            _ => None,
        }
    }
}

fn record(value: &Value) -> String {
    format!("{value}\u{1e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_has_its_text_and_is_data_to_the_codec() {
        for kind in Kind::ALL {
            let mut speech = Speech(kind);
            let said = speech.data("\"7\" of 10");
            assert_eq!(speech.text(&said).as_deref(), Some("\"7\" of 10"), "{kind}");
            assert_eq!(speech.read(said.clone()), Incoming::Message(said), "{kind}");
        }
    }

    #[test]
    fn logins_and_pings_are_not_taken_for_data() {
        let id = PingId::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]);
        for kind in Kind::ALL {
            let mut speech = Speech(kind);
            for own in speech.login().into_iter().chain(speech.ping(id)) {
                let is_plain = matches!(kind, Kind::EngineIo | Kind::SocketIo);
                assert!(is_plain || speech.text(&own).is_none(), "{kind}: {own}");
                assert!(
                    !speech.is_welcome(&own) || kind == Kind::SocketIo,
                    "{kind}: {own}"
                );
            }
        }
    }

    #[test]
    fn answers_carry_the_id_where_the_protocol_has_a_place_for_it() {
        let id = PingId::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]);
        let number = u64::from_be_bytes(id.to_bytes());
        for (kind, answer) in [
            (
                Kind::GraphqlWs,
                json!({ "type": "pong", "payload": { "id": number.to_string() } }),
            ),
            (
                Kind::Phoenix,
                json!([null, number.to_string(), "phoenix", "phx_reply", {}]),
            ),
            (
                Kind::ExchangeId,
                json!({ "id": number.to_string(), "result": "pong" }),
            ),
        ] {
            let read = Speech(kind).read(Message::text(answer.to_string()));
            assert_eq!(read, Incoming::Pong(id), "{kind}");
        }
    }
}

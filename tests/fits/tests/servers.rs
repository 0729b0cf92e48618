//! Each server's socket under a session: what is said comes back, pings are answered,
//! and a close code arrives in both directions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use keepalive::driver::Dialect;
use keepalive::session::{Accepted, Session, Transport};
use keepalive::tokio::{Dialer, Timer};
use keepalive::{CloseCode, Codec, Config, Goodbye, Notice, StopReason};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

/// What a server's session reports.
#[derive(Debug, PartialEq)]
enum Seen {
    Pong,
    Stopped(StopReason),
}

impl Seen {
    fn end(self) -> Option<StopReason> {
        match self {
            Self::Pong => None,
            Self::Stopped(reason) => Some(reason),
        }
    }
}

/// The server's side of a test, for all of its sockets.
#[derive(Clone)]
struct Desk {
    seen: mpsc::UnboundedSender<Seen>,
    leave: Arc<Notify>,
}

impl Desk {
    /// Sends back what comes in, until it is over.
    async fn echo<S, D, K>(self, mut session: Session<Accepted<S>, Timer, D, K>)
    where
        S: Transport,
        D: Dialect<Message = S::Message>,
        K: Codec<S::Message, Message = S::Message>,
    {
        loop {
            let notice = tokio::select! {
                notice = session.next() => notice,
                () = self.leave.notified() => {
                    session.stop_with(Goodbye::new(CloseCode(4000), "moved").unwrap());
                    continue;
                }
            };
            match notice {
                Some(Notice::Message(message)) => {
                    session.send(message).unwrap_or_else(|_| panic!())
                }
                Some(Notice::Pong { .. }) => self.seen.send(Seen::Pong).unwrap(),
                Some(Notice::Stopped { reason, .. }) => {
                    self.seen.send(Seen::Stopped(reason)).unwrap();
                }
                Some(_) => {}
                None => return,
            }
        }
    }
}

fn config() -> Config {
    Config::builder()
        .ping_interval(Duration::from_millis(20))
        .always_ping(true)
        .first_spread(Duration::from_millis(10))
        .build()
        .unwrap()
}

/// A client that talks to this server, is sent away, comes back and leaves.
async fn talk(address: SocketAddr, desk: Desk, mut seen: mpsc::UnboundedReceiver<Seen>) {
    let dialer = Dialer::new(format!("ws://{address}/"));
    let mut client = keepalive::tokio::client(config(), dialer);
    let talk = async {
        let (mut down, mut said, mut ends) = (vec![], vec![], vec![]);
        let (mut has_said, mut is_answered) = (false, false);
        let reason = loop {
            let notice = tokio::select! {
                notice = client.next() => notice.unwrap(),
                seen = seen.recv() => {
                    let seen = seen.unwrap();
                    // The pings of both sides were answered.
                    if seen == Seen::Pong && has_said && is_answered {
                        (has_said, is_answered) = (false, false);
                        if down.is_empty() {
                            desk.leave.notify_one();
                        } else {
                            client.stop();
                        }
                    }
                    ends.extend(seen.end());
                    continue;
                }
            };
            match notice {
                Notice::Opened { .. } => client.send(Message::text("hello")).unwrap(),
                Notice::Message(message) => {
                    said.push(message.to_string());
                    has_said = true;
                }
                Notice::Pong { .. } => is_answered = true,
                Notice::Down(lost) => down.push(lost.cause.to_string()),
                Notice::Stopped { reason, .. } => break reason,
                _ => {}
            }
        };
        assert_eq!(said, ["hello", "hello"]);
        assert_eq!(down, ["closed with code 4000: moved", "stopped"]);
        assert_eq!(reason, StopReason::Requested);
        while ends.len() < 2 {
            ends.extend(seen.recv().await.unwrap().end());
        }
        let left = StopReason::Closed(Some(CloseCode::NORMAL));
        assert_eq!(ends, [StopReason::Requested, left]);
    };
    timeout(Duration::from_secs(20), talk).await.unwrap();
}

async fn bound() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Runs a server beside the client that talks to it.
async fn run(serve: impl FnOnce(TcpListener, Desk) -> BoxFuture<'static, ()>) {
    let (listener, address) = bound().await;
    let (sender, seen) = mpsc::unbounded_channel();
    let desk = Desk {
        seen: sender,
        leave: Arc::default(),
    };
    let server = tokio::spawn(serve(listener, desk.clone()));
    talk(address, desk, seen).await;
    server.abort();
}

#[tokio::test]
async fn warp() {
    use warp::Filter;
    run(|listener, desk| {
        let route = warp::ws().map(move |ws: warp::ws::Ws| {
            let desk = desk.clone();
            ws.on_upgrade(|socket| desk.echo(fits::warp::accepted(config(), socket)))
        });
        Box::pin(warp::serve(route).incoming(listener).run())
    })
    .await;
}

#[tokio::test]
async fn poem() {
    use poem::listener::TcpAcceptor;
    use poem::web::Data;
    use poem::web::websocket::WebSocket;
    use poem::{EndpointExt, IntoResponse, Server, handler};

    #[handler]
    fn upgrade(Data(desk): Data<&Desk>, socket: WebSocket) -> impl IntoResponse + use<> {
        let desk = desk.clone();
        socket.on_upgrade(|socket| desk.echo(fits::poem::accepted(config(), socket)))
    }
    run(|listener, desk| {
        Box::pin(async {
            let acceptor = TcpAcceptor::from_tokio(listener).unwrap();
            let server = Server::new_with_acceptor(acceptor);
            server.run(upgrade.data(desk)).await.unwrap();
        })
    })
    .await;
}

#[tokio::test]
async fn salvo() {
    use salvo::conn::tcp::TcpAcceptor;
    use salvo::http::StatusError;
    use salvo::websocket::WebSocketUpgrade;
    use salvo::{Depot, FlowCtrl, Handler, Request, Response, Router, Server, async_trait};

    struct Upgrade(Desk);

    #[async_trait]
    impl Handler for Upgrade {
        async fn handle(
            &self,
            request: &mut Request,
            _: &mut Depot,
            response: &mut Response,
            _: &mut FlowCtrl,
        ) {
            let desk = self.0.clone();
            let upgraded: Result<(), StatusError> = WebSocketUpgrade::new()
                .upgrade(request, response, |socket| {
                    desk.echo(fits::salvo::accepted(config(), socket))
                })
                .await;
            upgraded.unwrap();
        }
    }
    run(|listener, desk| {
        Box::pin(async {
            let acceptor = TcpAcceptor::try_from(listener).unwrap();
            Server::new(acceptor)
                .serve(Router::new().goal(Upgrade(desk)))
                .await;
        })
    })
    .await;
}

#[tokio::test]
async fn hyper_tungstenite() {
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;

    run(|listener, desk| {
        Box::pin(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let desk = desk.clone();
                let upgrade = service_fn(move |mut request| {
                    let (response, socket) =
                        hyper_tungstenite::upgrade(&mut request, None).unwrap();
                    let desk = desk.clone();
                    tokio::spawn(async {
                        let socket = socket.await.unwrap();
                        desk.echo(fits::hyper_tungstenite::accepted(config(), socket))
                            .await;
                    });
                    async { Ok::<_, Infallible>(response) }
                });
                let connection = http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), upgrade)
                    .with_upgrades();
                tokio::spawn(connection);
            }
        })
    })
    .await;
}

#[tokio::test]
async fn actix_ws() {
    use actix_web::web::{Data, Payload, get};
    use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer, rt};

    async fn upgrade(
        desk: Data<Desk>,
        request: HttpRequest,
        body: Payload,
    ) -> Result<HttpResponse, Error> {
        let (response, sender, stream) = actix_ws::handle(&request, body)?;
        let session = fits::actix_ws::accepted(config(), sender, stream);
        rt::spawn(desk.get_ref().clone().echo(session));
        Ok(response)
    }
    run(|listener, desk| {
        let app = move || {
            App::new()
                .app_data(Data::new(desk.clone()))
                .route("/", get().to(upgrade))
        };
        let server = HttpServer::new(app).workers(1).disable_signals();
        let server = server.listen(listener.into_std().unwrap()).unwrap().run();
        Box::pin(async { server.await.unwrap() })
    })
    .await;
}

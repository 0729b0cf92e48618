fn main() {
    real::peers::serve_if_asked();
    use real::peers::*;
    use real::*;
    use std::time::Duration;
    for kind in Kind::ALL {
        let begun = std::time::Instant::now();
        let peer = Peer::start(kind, &Place::default());
        let started = begun.elapsed();
        let speech = peer.speech();
        for adapter in Adapter::ALL {
            if !speech.runs_on(adapter) {
                continue;
            }
            let config = speech
                .settings(keepalive::Config::builder())
                .build()
                .unwrap();
            let client = speech.client(adapter, config, speech.target(&peer));
            client
                .handle()
                .try_send(speech.data(&format!("hello {adapter}")))
                .unwrap();
            let mut log = Vec::new();
            let found = client.find(Duration::from_secs(5), &mut log, |event| {
                match &event.seen {
                    Seen::Message(message) => speech
                        .text(message)
                        .filter(|text| text.starts_with("hello")),
                    _ => None,
                }
            });
            println!("{kind} {adapter} {found:?} {:?}", started);
            if found.is_none() {
                println!("{log:#?}");
            }
        }
        println!("{:?} {:?}", peer.heard(), peer.lines());
    }
}

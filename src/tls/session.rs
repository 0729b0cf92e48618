use std::io::{self, ErrorKind, Read, Write};

use rustls::ClientConnection;

use super::TlsError;

/// TLS over a stream that is passed to each call. A call is `WouldBlock` where the stream is,
/// and goes on from there when it is made again. Reads do not wait for writes, so that two
/// peers that write at a time do not wait for each other.
#[derive(Debug)]
pub(crate) struct Session {
    tls: ClientConnection,
    /// An error that came behind bytes which are still to be read.
    failed: Option<io::Error>,
}

impl Session {
    pub(super) const fn new(tls: ClientConnection) -> Self {
        Self { tls, failed: None }
    }

    pub(super) const fn tls(&self) -> &ClientConnection {
        &self.tls
    }

    /// The handshake, or what is left of it.
    pub(super) fn shake(&mut self, io: &mut (impl Read + Write)) -> io::Result<()> {
        loop {
            self.push(io)?;
            if !self.tls.is_handshaking() {
                return Ok(());
            }
            if self.pull(io)? == 0 {
                let words = "the server hung up during the TLS handshake";
                return Err(io::Error::new(ErrorKind::UnexpectedEof, words));
            }
        }
    }

    pub(super) fn read(
        &mut self,
        io: &mut (impl Read + Write),
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                found => return found,
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            match self.pull(io) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::InvalidData => self.failed = Some(error),
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn write(
        &mut self,
        io: &mut (impl Read + Write),
        bytes: &[u8],
    ) -> io::Result<usize> {
        // When rustls has no room at first, it has some once all that it held is written.
        for _ in 0..2 {
            let taken = self.tls.writer().write(bytes)?;
            match self.push(io) {
                Err(error) if taken == 0 || error.kind() != ErrorKind::WouldBlock => {
                    return Err(error);
                }
                _ if taken > 0 || bytes.is_empty() => return Ok(taken),
                _ => {}
            }
        }
        Err(ErrorKind::WriteZero.into())
    }

    pub(super) fn flush(&mut self, io: &mut (impl Read + Write)) -> io::Result<()> {
        self.push(io)?;
        io.flush()
    }

    /// Says that nothing more is written.
    #[cfg(any(feature = "smol", feature = "tokio"))]
    pub(super) fn close(&mut self, io: &mut (impl Read + Write)) -> io::Result<()> {
        self.tls.send_close_notify(); // once
        self.flush(io)
    }

    fn push(&mut self, io: &mut (impl Read + Write)) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(io) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) => return Err(self.why(io, error)),
            }
        }
        Ok(())
    }

    fn pull(&mut self, io: &mut (impl Read + Write)) -> io::Result<usize> {
        let count = self.tls.read_tls(io)?;
        let is_handshaking = self.tls.is_handshaking();
        match self.tls.process_new_packets() {
            Ok(_) => Ok(count),
            Err(error) => {
                // Tells the peer why, as far as that can be done at once.
                while self.tls.wants_write() && matches!(self.tls.write_tls(io), Ok(1..)) {}
                Err(TlsError::told(error, is_handshaking).into())
            }
        }
    }

    /// Why a write failed: the peer may have sent an alert before it closed.
    fn why(&mut self, io: &mut (impl Read + Write), error: io::Error) -> io::Error {
        let is_gone = matches!(
            error.kind(),
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted
        );
        if !is_gone {
            return error;
        }
        loop {
            match self.pull(io) {
                Ok(count) if count > 0 => {}
                Err(said) if said.get_ref().is_some_and(|said| said.is::<TlsError>()) => {
                    return said;
                }
                _ => return error,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use rcgen::{CertificateParams, KeyPair};
    use rustls::crypto::ring;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{AlertDescription, ServerConfig, ServerConnection};

    use super::*;
    use crate::Tls;

    /// A line to a server that blocks now and then, and takes this many bytes at most.
    struct Line {
        server: ServerConnection,
        most: usize,
        random: u32,
        is_smooth: bool,
        is_full: bool,
        to_client: VecDeque<u8>,
        /// How writes fail, where they do.
        cut: Option<ErrorKind>,
        written: usize,
        heard: Vec<u8>,
        failed: Option<rustls::Error>,
    }

    impl Line {
        fn new(most: usize) -> (Self, Session) {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
            let certificate = params.self_signed(&key).unwrap();
            let tls = Tls::trusting(certificate.pem()).unwrap();
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .unwrap();
            let line = Self {
                server: ServerConnection::new(Arc::new(config)).unwrap(),
                most,
                random: 1,
                is_smooth: false,
                is_full: false,
                to_client: VecDeque::new(),
                cut: None,
                written: 0,
                heard: Vec::new(),
                failed: None,
            };
            let url = "wss://localhost/".parse().unwrap();
            (line, tls.session(&url).unwrap().unwrap())
        }

        fn open(most: usize) -> (Self, Session) {
            let (mut line, mut session) = Self::new(most);
            again(|| session.shake(&mut line)).unwrap();
            (line, session)
        }

        /// What the server has to say is on its way.
        fn deliver(&mut self) {
            let mut bytes = Vec::new();
            while self.server.wants_write() {
                self.server.write_tls(&mut bytes).unwrap();
            }
            self.to_client.extend(bytes);
        }

        fn say(&mut self, bytes: &[u8]) {
            self.server.set_buffer_limit(None);
            self.server.writer().write_all(bytes).unwrap();
            self.deliver();
        }

        fn is_blocked(&mut self) -> io::Result<()> {
            self.random = self
                .random
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
            if self.random >> 31 == 1 && !self.is_smooth {
                return Err(ErrorKind::WouldBlock.into());
            }
            Ok(())
        }
    }

    impl Read for Line {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.is_blocked()?;
            if self.to_client.is_empty() {
                return match self.cut {
                    Some(_) => Ok(0),
                    None => Err(ErrorKind::WouldBlock.into()),
                };
            }
            let most = buffer.len().min(self.most);
            self.to_client.read(&mut buffer[..most])
        }
    }

    impl Write for Line {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(kind) = self.cut {
                return Err(kind.into());
            }
            if self.is_full {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.is_blocked()?;
            let most = bytes.len().min(self.most);
            let count = self.server.read_tls(&mut &bytes[..most])?;
            self.written += count;
            // What it has against them, it says.
            self.failed = self.server.process_new_packets().err();
            let _ = self.server.reader().read_to_end(&mut self.heard);
            self.deliver();
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.is_blocked()
        }
    }

    /// The same until it does not block, for a bounded time.
    fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        for _ in 0..1_000_000 {
            match call() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
        panic!("it blocks for good")
    }

    fn told(error: &io::Error) -> &TlsError {
        error.get_ref().unwrap().downcast_ref().unwrap()
    }

    #[test]
    fn it_goes_on_where_it_was_blocked() {
        for most in [1, 7, 100_000] {
            let (mut line, mut session) = Line::open(most);
            let sent: Vec<u8> = (0..40_000_usize).map(|n| (n % 251) as u8).collect();
            let mut left = &sent[..];
            while !left.is_empty() {
                let count = again(|| session.write(&mut line, left)).unwrap();
                assert!(count > 0);
                left = &left[count..];
            }
            again(|| session.flush(&mut line)).unwrap();
            assert!(!session.tls().wants_write());
            assert!(line.heard == sent, "{most}");

            line.say(&sent);
            let mut found: Vec<u8> = Vec::new();
            let mut buffer = [0; 1000];
            while found.len() < sent.len() {
                let count = again(|| session.read(&mut line, &mut buffer)).unwrap();
                found.extend(&buffer[..count]);
            }
            assert!(found == sent, "{most}");
        }
    }

    /// For a peer that does not read.
    #[test]
    fn it_takes_no_more_than_it_has_room_for() {
        let (mut line, mut session) = Line::open(1000);
        line.is_full = true;
        let mut taken = 0;
        let error = loop {
            assert!(taken < 1 << 20);
            match session.write(&mut line, &[0; 10_000]) {
                Ok(count) => taken += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        line.is_full = false;
        assert!(again(|| session.write(&mut line, &[0; 10_000])).unwrap() > 0);
    }

    #[test]
    fn reading_does_not_wait_for_writing() {
        let (mut line, mut session) = Line::open(1000);
        line.say(b"hello");
        line.is_full = true;
        assert_eq!(session.write(&mut line, b"unread").unwrap(), 6);
        assert!(session.tls().wants_write());
        let mut buffer = [0; 10];
        let count = again(|| session.read(&mut line, &mut buffer)).unwrap();
        assert_eq!(&buffer[..count], b"hello");
        assert!(session.tls().wants_write());
    }

    #[test]
    fn what_came_ahead_of_an_error_is_read_first() {
        let (mut line, mut session) = Line::open(100_000);
        line.say(b"the close code");
        line.to_client.extend([0x48; 20]);
        let mut buffer = [0; 100];
        let count = again(|| session.read(&mut line, &mut buffer)).unwrap();
        assert_eq!(&buffer[..count], b"the close code");
        let error = again(|| session.read(&mut line, &mut buffer)).unwrap_err();
        // It had been TLS until then.
        assert!(matches!(told(&error), TlsError::Rustls(_)), "{error}");
    }

    #[test]
    fn a_write_that_fails_is_told_by_the_alert_that_says_why() {
        let unread = [0x15, 3, 3, 0, 2, 2, 48]; // the issuer is not known
        for (kind, alert) in [
            (ErrorKind::BrokenPipe, &unread[..]),
            (ErrorKind::ConnectionReset, &unread[..]),
            (ErrorKind::ConnectionAborted, &unread[..]),
            (ErrorKind::BrokenPipe, &[]),
            (ErrorKind::TimedOut, &unread[..]),
        ] {
            let (mut line, mut session) = Line::new(3);
            line.to_client.extend(alert);
            line.cut = Some(kind);
            line.is_smooth = true;
            let error = session.shake(&mut line).unwrap_err();
            if kind == ErrorKind::TimedOut || alert.is_empty() {
                assert_eq!(error.kind(), kind);
            } else {
                let refused = TlsError::CertificateRefused(AlertDescription::UnknownCA);
                assert_eq!(*told(&error), refused);
            }
        }
    }

    #[test]
    fn the_server_hears_what_is_wrong_with_it() {
        let (mut line, _) = Line::new(100_000);
        let (_, mut other) = Line::new(100_000);
        line.is_smooth = true;
        let error = other.shake(&mut line).unwrap_err();
        assert!(matches!(told(&error), TlsError::Rustls(_)), "{error}");
        let heard = line.failed.unwrap();
        assert!(matches!(heard, rustls::Error::AlertReceived(_)), "{heard}");
    }

    #[cfg(any(feature = "smol", feature = "tokio"))]
    #[test]
    fn it_says_once_that_it_ends() {
        let (mut line, mut session) = Line::open(3);
        again(|| session.close(&mut line)).unwrap();
        let written = line.written;
        again(|| session.close(&mut line)).unwrap();
        assert_eq!(line.written, written);
        assert_eq!(line.server.reader().read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn an_end_in_the_handshake_is_told() {
        let (mut line, mut session) = Line::new(100_000);
        again(|| session.flush(&mut line)).unwrap();
        line.to_client.truncate(10);
        line.cut = Some(ErrorKind::BrokenPipe);
        let error = again(|| session.shake(&mut line)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_url_has_a_name_to_verify() {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::default();
        let tls = Tls::trusting(params.self_signed(&key).unwrap().pem()).unwrap();
        let session = |url: &str| tls.session(&url.parse().unwrap());
        assert!(session("ws://localhost/").unwrap().is_none());
        for url in [
            "wss://me@example.com:1/",
            "wss://[::1]/",
            "wss://127.0.0.1/",
        ] {
            assert!(session(url).unwrap().is_some());
        }
        let error = session("wss://a..b/").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

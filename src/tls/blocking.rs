use std::io::{self, Read, Write};

use super::stream::{Kind, MaybeTls};

impl<S: Read + Write> MaybeTls<S> {
    /// With the TLS handshake done, where there is one to do.
    #[allow(clippy::unnecessary_wraps, unused_mut)]
    pub(crate) fn shaken(mut self) -> io::Result<Self> {
        #[cfg(feature = "rustls")]
        if let Kind::Tls(secured) = &mut self.0 {
            secured.session.shake(&mut secured.stream)?;
        }
        Ok(self)
    }
}

impl<S: Read + Write> Read for MaybeTls<S> {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Plain(stream) => stream.read(buffer),
            #[cfg(feature = "rustls")]
            Kind::Tls(secured) => secured.session.read(&mut secured.stream, buffer),
        }
    }
}

impl<S: Read + Write> Write for MaybeTls<S> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Plain(stream) => stream.write(bytes),
            #[cfg(feature = "rustls")]
            Kind::Tls(secured) => secured.session.write(&mut secured.stream, bytes),
        }
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Plain(stream) => stream.flush(),
            #[cfg(feature = "rustls")]
            Kind::Tls(secured) => secured.session.flush(&mut secured.stream),
        }
    }
}

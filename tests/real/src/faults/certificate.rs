use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use keepalive::Tls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::peers::installed;

/// A certificate for one address, in files, and who vouches for it.
#[derive(Debug)]
pub(super) struct Certificate {
    folder: PathBuf,
    authority: String,
}

impl Certificate {
    pub(super) fn new(address: IpAddr) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([address.to_string()]).unwrap();
        let own = params.signed_by(&key, &authority).unwrap();
        let name = format!("{}-certificate", std::process::id());
        let folder = installed().join("run").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("certificate.pem"), own.pem()).unwrap();
        fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
        let authority = authority.pem();
        Self { folder, authority }
    }

    pub(super) fn files(&self) -> (PathBuf, PathBuf) {
        let file = |name| self.folder.join(name);
        (file("certificate.pem"), file("key.pem"))
    }

    pub(super) fn tls(&self) -> Tls {
        Tls::trusting(&self.authority).unwrap()
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

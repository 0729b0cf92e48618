//! Which certificates are trusted.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use keepalive::Tls;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::watch::text;

/// Those that the system trusts, and those in this file.
pub(crate) fn trusting(file: Option<&Path>) -> Result<Tls, String> {
    let Some(file) = file else {
        return Ok(Tls::platform());
    };
    let told = |why: &dyn std::fmt::Display| format!("--cacert {}: {why}", file.display());
    let pem = fs::read(file).map_err(|error| told(&text::bare(&error)))?;
    // Where the system has none, those in the file are enough.
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| told(&error))?;
        roots.add(certificate).map_err(|error| told(&error))?;
        found += 1;
    }
    if found == 0 {
        return Err(told(&"there is no certificate in it"));
    }
    config(roots).map(Tls::from).map_err(|error| told(&error))
}

fn config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

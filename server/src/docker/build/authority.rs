//! Certificates that builds shall trust besides the usual ones: a company's proxy signs with its own.
//!
//! They are handed to builds as a secret, so that they never enter the image. A step gets them where its Dockerfile
//! mounts them, over the bundle that the base image brings:
//! `RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt …`

use std::collections::BTreeMap;

use secrecy::SecretString;

/// The secret's id. A secret of the user's own with this id comes first.
pub(crate) const CA_SECRET: &str = "ca";

/// Where systems keep the bundle of authorities that they trust.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The secrets, with the extra certificates and this machine's own bundle in one file: it replaces a bundle.
pub(super) async fn with_extra_ca(
    mut secrets: BTreeMap<String, SecretString>,
    extra: Option<&[u8]>,
) -> BTreeMap<String, SecretString> {
    if let Some(extra) = extra
        && !secrets.contains_key(CA_SECRET)
    {
        secrets.insert(CA_SECRET.to_owned(), bundle_with(extra).await.into());
    }
    secrets
}

/// This machine's own bundle and the extra certificates, in one.
pub(in crate::docker) async fn bundle_with(extra: &[u8]) -> String {
    let mut bundle = system_bundle().await;
    if !bundle.is_empty() && !bundle.ends_with('\n') {
        bundle.push('\n');
    }
    bundle.push_str(&String::from_utf8_lossy(extra));
    bundle
}

async fn system_bundle() -> String {
    for path in SYSTEM_BUNDLES {
        if let Ok(bundle) = tokio::fs::read_to_string(path).await {
            return bundle;
        }
    }
    String::new()
}

//! Java's tools read certificates from a keystore of their own: one is made of the extra CA's file.

use super::writing::CA;

const STORE: &str = "/tmp/ca.p12";

/// keytool takes one certificate at a time, half a second each; this takes them all. Without `var`, for Java 8.
const PROGRAM: &str = "class Ca { public static void main(String[] a) throws Exception { \
     java.security.KeyStore s = java.security.KeyStore.getInstance(\"PKCS12\"); s.load(null, null); int n = 0; \
     for (java.security.cert.Certificate c : java.security.cert.CertificateFactory.getInstance(\"X.509\")\
     .generateCertificates(System.in)) s.setCertificateEntry(\"ca\" + n++, c); \
     s.store(new java.io.FileOutputStream(a[0]), \"changeit\".toCharArray()); } }";

/// The commands that make it, and make every program in Java trust it. What fetches Java's tools is often wget, which knows
/// certificates from its own settings only.
pub(super) fn commands() -> String {
    let lines = [
        "cd /tmp".to_owned(),
        format!("echo '{PROGRAM}' >Ca.java"),
        "javac Ca.java".to_owned(),
        format!("sed -n '/BEGIN CERT/,/END CERT/p' {CA} | java -cp /tmp Ca {STORE}"),
        format!("echo ca_certificate={CA} >/tmp/wgetrc"),
        "cd /app".to_owned(),
        format!(
            "export WGETRC=/tmp/wgetrc JAVA_TOOL_OPTIONS=\"$JAVA_TOOL_OPTIONS -Djavax.net.ssl.trustStore={STORE} \
             -Djavax.net.ssl.trustStorePassword=changeit\""
        ),
    ];
    lines.join(" && \\\n      ")
}

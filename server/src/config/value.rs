//! How single values are written: sizes, durations, secrets.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use bytesize::ByteSize;
use secrecy::SecretString;

use super::check::host_of;
use super::{ConfigError, Place};

/// `512MiB`, `2GB` or plain bytes.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    text.parse::<ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| "write a size such as 512MiB, 2GB, or a number of bytes".to_owned())
}

/// `90s`, `20m`, `1h 30m`; never zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("write a duration above zero such as 90s, 20m or 1h".to_owned()),
    }
}

pub(super) fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(text.to_owned().into())
}

/// `host` or `host:port`, of HTTPS.
pub(super) fn place(text: &str) -> Result<Place, String> {
    let help =
        || "write a host such as github.com, or host:port, without https:// and without a path".to_owned();
    let host = host_of(text).ok_or_else(help)?.to_string();
    let port = match text.rsplit_once(':') {
        Some((_, port)) if !text.ends_with(']') => port.parse().map_err(|_| help())?,
        _ => 443,
    };
    Ok(Place { host: host.trim_matches(['[', ']']).to_owned(), port })
}

/// Thousandths of a CPU from `0.5` or `500m`.
pub(super) fn millicpu(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_suffix('m') {
        Some(thousandths) => thousandths.parse().ok(),
        None => text.parse::<f64>().ok().map(|cpus| cpus * 1000.0).filter(|m| (1.0..=1e6).contains(m)).map(
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "in 1..=1e6 by the filter"
            )]
            |m| m.round() as u32,
        ),
    };
    parsed.filter(|m| *m > 0).ok_or_else(|| "write CPUs such as 0.5, 2 or 500m".to_owned())
}

/// A secret from its setting or from the file that its `…_FILE` form names, without the file's last line break.
pub(super) fn secret_or_file(
    setting: &'static str,
    value: Option<&SecretString>,
    file: Option<&Path>,
) -> Result<Option<SecretString>, ConfigError> {
    match (value, file) {
        (Some(_), Some(_)) => Err(ConfigError::Both { setting }),
        (Some(value), None) => Ok(Some(value.clone())),
        (None, None) => Ok(None),
        (None, Some(path)) => {
            let text: String = std::fs::read_to_string(path).map_err(|source| ConfigError::SecretFile {
                setting,
                path: path.to_owned(),
                source,
            })?;
            Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned().into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn sizes_durations_and_cpus_are_written_as_people_write_them() {
        assert_eq!(bytes("512MiB"), Ok(512 << 20));
        assert_eq!(bytes("4096"), Ok(4096));
        assert!(bytes("much").is_err());
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert!(duration("0s").is_err());
        assert_eq!(millicpu("0.5"), Ok(500));
        assert_eq!(millicpu("250m"), Ok(250));
        for bad in ["0", "0m", "-1", "NaN", "1e99", "x"] {
            assert!(millicpu(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn a_secret_comes_from_its_setting_or_its_file_but_not_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "hush\n").unwrap();
        let value = SecretString::from("loud".to_owned());
        let read = |value, file| secret_or_file("SLIPWAY_X", value, file);
        assert_eq!(read(None, Some(path.as_path())).unwrap().unwrap().expose_secret(), "hush");
        assert_eq!(read(Some(&value), None).unwrap().unwrap().expose_secret(), "loud");
        assert!(read(None, None).unwrap().is_none());
        let error = read(Some(&value), Some(&path)).unwrap_err().to_string();
        assert_eq!(
            error,
            "SLIPWAY_X and SLIPWAY_X_FILE are both set, and only one can count: unset one of them"
        );
        let error = read(None, Some(&folder.path().join("none"))).unwrap_err().to_string();
        assert!(error.contains("could not be read"), "{error}");
    }
}

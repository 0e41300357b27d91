//! The search for secret addresses in files and logs, in every form in which they could be there.

use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};

use super::captures::files_below;
use super::format::{self, Format};

/// The byte strings to look for, each with a description.
#[derive(Debug, Default, Clone)]
pub struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    /// Adds an IP address: its bytes, and the ways to write it.
    pub fn add_address(&mut self, address: IpAddr) {
        let bytes = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => {
                let full: Vec<_> = address.segments().map(|s| format!("{s:04x}")).into();
                let short: Vec<_> = address.segments().map(|s| format!("{s:x}")).into();
                self.add_text(&full.join(":"));
                self.add_text(&short.join(":"));
                address.octets().to_vec()
            }
        };
        self.add_text(&address.to_string());
        self.add_bytes(&bytes, "");
    }

    /// Adds a MAC address.
    pub fn add_mac(&mut self, mac: &[u8]) {
        self.add_bytes(mac, ":");
    }

    fn add_bytes(&mut self, bytes: &[u8], between: &str) {
        let digits = |byte: &u8| format!("{byte:02x}");
        let digits: Vec<_> = bytes.iter().map(digits).collect();
        self.0
            .push((format!("bytes {}", digits.join(" ")), bytes.to_owned()));
        self.add_text(&digits.join(between));
    }

    fn add_text(&mut self, text: &str) {
        for text in [text.to_lowercase(), text.to_uppercase()] {
            let entry = (format!("text {text}"), text.into_bytes());
            if !self.0.contains(&entry) {
                self.0.push(entry);
            }
        }
    }

    /// Which of them are in `bytes`. One that is the beginning of another address, such as
    /// 10.0.0.17 of 10.0.0.177, is found too.
    #[must_use]
    pub fn in_bytes(&self, bytes: &[u8]) -> Vec<String> {
        let is_there = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        let found = self.0.iter().filter(|(_, needle)| is_there(needle));
        found.map(|(name, _)| name.clone()).collect()
    }

    /// Which of them are in the paths and in the contents of files below a directory, compressed or
    /// not.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn below(&self, directory: &Path) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for path in files_below(directory)? {
            let mut bytes = path.as_os_str().as_encoded_bytes().to_vec();
            match fs::read(&path) {
                Ok(content) => bytes.extend(content),
                // A partial file that has been published in the meantime.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => drop(other.with_context(|| path.display().to_string())?),
            }
            // An unfinished file cannot always be decompressed.
            if Format::at(&path).is_ok()
                && let Ok(plain) = format::contents(&path)
            {
                bytes.extend(plain);
            }
            let there = self.in_bytes(&bytes).into_iter();
            found.extend(there.map(|what| format!("{what} in {}", path.display())));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_found() {
        let mut secrets = Secrets::default();
        secrets.add_address([10, 98, 0, 177].into());
        secrets.add_address("fd00:98::b1".parse().unwrap());
        secrets.add_mac(&[2, 0, 0, 0, 0x98, 0xab]);
        for there in [
            &b"x10.98.0.177"[..],
            b"\x00\x0a\x62\x00\xb1",
            b"0a6200b1",
            b"[fd00:98::b1]:80",
            b"FD00:98:0:0:0:0:0:B1",
            b"fd00:0098:0000:0000:0000:0000:0000:00b1",
            b"02:00:00:00:98:ab",
        ] {
            assert!(!secrets.in_bytes(there).is_empty(), "{there:?}");
        }
        let not_there = b"10.98.0.17, \x0a\x62\x00\xb2, fd00:98::b2, 02:00:00:00:98:aa";
        assert_eq!(secrets.in_bytes(not_there), [""; 0]);
    }
}

//! The password `development` for everybody, hashed as the application hashes its own.

/// How a stored hash begins, and a hash of `development` in that form. The first that fits is taken.
const FORMS: [(&str, &str); 16] = [
    // The application's own check reads cost and salt from here: any will do.
    (
        "$argon2id$",
        "$argon2id$v=19$m=19456,t=2,p=1$UGFydHl3YWxsRGV2U2FsdA$DlHAN9NLzSGgrtoITb92mZg5JOIUh3/C5rYnLqSpL9c",
    ),
    (
        "$argon2i$",
        "$argon2i$v=19$m=19456,t=2,p=1$UGFydHl3YWxsRGV2U2FsdA$lOUWAnbpidEUJjuKFm7PR38fb+GO7k3OIbZ9DjVdNkI",
    ),
    (
        "$argon2d$",
        "$argon2d$v=19$m=19456,t=2,p=1$UGFydHl3YWxsRGV2U2FsdA$xhGFH6eCCWFinPH6VLKLkviPRcTx8geKVxw7e6HLmrQ",
    ),
    (
        "argon2$",
        "argon2$argon2id$v=19$m=19456,t=2,p=1$UGFydHl3YWxsRGV2U2FsdA$DlHAN9NLzSGgrtoITb92mZg5JOIUh3/C5rYnLqSpL9c",
    ),
    ("pbkdf2_sha256$", "pbkdf2_sha256$600000$PartywallDevSalt$kDKMLV8CGFOzq2TvBMX3K6OFYOYoY4n82/pztiWSTDQ="),
    ("pbkdf2_sha1$", "pbkdf2_sha1$600000$PartywallDevSalt$+u3B6Sqbcn5M41Z6XwQzm0/jpmI="),
    ("bcrypt_sha256$", "bcrypt_sha256$$2b$12$PartywallDevelopmentSObVHJmzdxOFVfOhfVTREFwb1wKoDyRau"),
    ("bcrypt$", "bcrypt$$2b$12$PartywallDevelopmentSOw8ty5ufa6gWPD37SSUuQjgfWJ71R/yi"),
    (
        "scrypt$",
        "scrypt$16384$PartywallDevSalt$8$1$6snczTn87TMii/BKw2WgsHdxb1cwAWM6JcdJ9gM2x3nDSSUPW37QMURRpqfwmXbQecAK9NPKHUFiwmXLWuIBzA==",
    ),
    (
        "scrypt:",
        "scrypt:32768:8:1$PartywallDevSalt$0d557575bd223cdbba502468acf4f22f7b125f1a20866f7c9af9e9aa5b3db2b7d7f9ed5389b598b49a2dbe6ad72f8950c80392ccfd670d1b8c911eeca7f730a9",
    ),
    (
        "pbkdf2:sha256",
        "pbkdf2:sha256:600000$PartywallDevSalt$90328c2d5f021853b3ab64ef04c5f72ba38560e6286389fcdbfa73b625924c34",
    ),
    ("$scrypt$", "$scrypt$ln=14,r=8,p=1$UGFydHl3YWxsRGV2U2FsdA$6snczTn87TMii/BKw2WgsHdxb1cwAWM6JcdJ9gM2x3k"),
    (
        "$pbkdf2-sha256$",
        "$pbkdf2-sha256$29000$UGFydHl3YWxsRGV2U2FsdA$AKWVfx2wBU8qS8nTgjIeYnM3npJ8GlKpsdkfM4Wgmow",
    ),
    (
        "$pbkdf2-sha512$",
        "$pbkdf2-sha512$25000$UGFydHl3YWxsRGV2U2FsdA$xMUdb8bEB0bvUwu2Uwn1RBfBOL9dokbmc4bI1Pdr1RR9N4jRXV/ikhufB4SQFaacciaBaYnaFy7q/ZX4ofSGtw",
    ),
    (
        "$6$",
        "$6$PartywallDevSalt$UTwcPznwcL5UYZNdeXLPz/WU2WAefjwFgi5JK.krHkG0n/HcF4ig3.KwefWipcc14bLoafszmc1uGWmroyUv11",
    ),
    ("$5$", "$5$PartywallDevSalt$.w5Kw6EnaXscAmMjIFhBUXWw6Auqoq.bSIqbXBqrrH4"),
];
/// For whatever has another form.
const BCRYPT: &str = "$2b$12$PartywallDevelopmentSOw8ty5ufa6gWPD37SSUuQjgfWJ71R/yi";

pub(super) fn alike(stored: &str) -> &'static str {
    FORMS.iter().find(|(begin, _)| stored.starts_with(begin)).map_or(BCRYPT, |(_, hash)| *hash)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use argon2::PasswordVerifier;
    use argon2::password_hash::phc::PasswordHash;
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

    use super::*;

    const WORD: &[u8] = b"development";

    fn pbkdf2(hash: &[u8], salt: &[u8], rounds: u32, sha512: bool) -> bool {
        let mut out = vec![0; hash.len()];
        if sha512 {
            pbkdf2::pbkdf2_hmac::<sha2::Sha512>(WORD, salt, rounds, &mut out);
        } else {
            pbkdf2::pbkdf2_hmac::<sha2::Sha256>(WORD, salt, rounds, &mut out);
        }
        out == hash
    }

    fn scrypt(hash: &[u8], salt: &[u8], log: u8) -> bool {
        let mut out = vec![0; hash.len()];
        let parameters = scrypt::Params::new(log, 8, 1).unwrap();
        scrypt::scrypt(WORD, salt, &parameters, &mut out).unwrap();
        out == hash
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    /// As the libraries read these forms.
    fn opens(hash: &str) -> bool {
        let parts: Vec<&str> = hash.split('$').collect();
        let passlib = |text: &str| STANDARD_NO_PAD.decode(text.replace('.', "+")).unwrap();
        if hash.starts_with("$argon2") {
            let parsed = PasswordHash::new(hash).unwrap();
            return argon2::Argon2::default().verify_password(WORD, &parsed).is_ok();
        }
        match parts.as_slice() {
            ["argon2", ..] => opens(&hash["argon2".len()..]),
            ["bcrypt", ..] => opens(&hash["bcrypt$".len()..]),
            ["", "2b", ..] => bcrypt::verify(WORD, hash).unwrap(),
            ["bcrypt_sha256", ..] => {
                let sum: String = <sha2::Sha256 as sha2::Digest>::digest(WORD)
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                bcrypt::verify(sum, &hash["bcrypt_sha256$".len()..]).unwrap()
            }
            ["pbkdf2_sha256", rounds, salt, sum] => {
                pbkdf2(&STANDARD.decode(sum).unwrap(), salt.as_bytes(), rounds.parse().unwrap(), false)
            }
            ["scrypt", "16384", salt, "8", "1", sum] => {
                scrypt(&STANDARD.decode(sum).unwrap(), salt.as_bytes(), 14)
            }
            ["scrypt:32768:8:1", salt, sum] => scrypt(&hex(sum), salt.as_bytes(), 15),
            ["pbkdf2:sha256:600000", salt, sum] => pbkdf2(&hex(sum), salt.as_bytes(), 600_000, false),
            ["", "scrypt", "ln=14,r=8,p=1", salt, sum] => scrypt(&passlib(sum), &passlib(salt), 14),
            ["", kind @ ("pbkdf2-sha256" | "pbkdf2-sha512"), rounds, salt, sum] => {
                pbkdf2(&passlib(sum), &passlib(salt), rounds.parse().unwrap(), kind.ends_with("512"))
            }
            ["", form @ ("5" | "6"), salt, _] => {
                let words = ["passwd", &format!("-{form}"), "-salt", salt, "development"];
                let output = Command::new("openssl").args(words).output().unwrap();
                String::from_utf8(output.stdout).unwrap().trim() == hash
            }
            _ => panic!("who reads `{hash}`?"),
        }
    }

    #[test]
    fn every_form_opens_with_the_word_and_is_of_its_own_form() {
        // SHA-1 needs one more library; its sum was made beside the others.
        for (begin, hash) in FORMS.iter().filter(|(begin, _)| *begin != "pbkdf2_sha1$") {
            assert!(opens(hash), "{hash}");
            assert_eq!(alike(hash), *hash, "{begin}");
        }
        assert!(opens(BCRYPT));
        for other in ["$2a$10$whatever", "{SSHA}abc", "5f4dcc3b5aa765d61d8327deb882cf99", ""] {
            assert_eq!(alike(other), BCRYPT, "{other}");
        }
    }
}

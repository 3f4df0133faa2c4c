//! From keys to paths, none of which leads outside.

use std::collections::BTreeSet;

use pw_plan::step::VaultRun;

use super::STAGING;

/// The longest path that Linux opens.
const LONGEST: usize = 4095;

/// The paths of all files of these keys, and the keys that lead elsewhere.
pub(super) fn of_keys(run: &VaultRun, keys: &[String]) -> (BTreeSet<String>, Vec<String>) {
    let (mut paths, mut refused) = (BTreeSet::new(), Vec::new());
    for key in keys.iter().filter(|key| !key.is_empty()) {
        let inner = run.strip.as_deref().and_then(|strip| key.strip_prefix(strip)).unwrap_or(key);
        let plain = [String::from("{key}")];
        let templates = if run.files.is_empty() { &plain[..] } else { &run.files };
        let all: Option<Vec<String>> =
            templates.iter().map(|template| inside(&template.replace("{key}", inner))).collect();
        match all {
            Some(all) => paths.extend(all),
            None => refused.push(key.clone()),
        }
    }
    (paths, refused)
}

/// The path as it is opened; `None` for one that is absolute, leads upwards, or is none.
fn inside(text: &str) -> Option<String> {
    let wrong = |part: &str| part == ".." || part == "." || part.contains('\0');
    if text.starts_with('/') || text.ends_with('/') || text.len() > LONGEST || text.split('/').any(wrong) {
        return None;
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
    (!parts.is_empty() && parts[0] != STAGING).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use pw_plan::step::VaultPlace;

    use super::*;

    fn run(strip: Option<&str>, files: &[&str]) -> VaultRun {
        let place = VaultPlace::Folder { path: "/x".into() };
        VaultRun {
            from: place.clone(),
            to: place,
            column: "files.key".into(),
            strip: strip.map(str::to_owned),
            files: files.iter().map(|&file| file.into()).collect(),
            manifest: String::new(),
            former: None,
        }
    }

    #[test]
    fn nothing_leads_outside() {
        let bad = ["../x", "a/../../x", "/etc/passwd", "a/./b", "..", "a/", "a\0b", ".partywall-seed/new/1"];
        let good = ["a", "a//b", "..a/b..", "a b"];
        let keys: Vec<String> = bad.iter().chain(&good).map(|&key| key.into()).collect();
        let (paths, refused) = of_keys(&run(None, &[]), &keys);
        assert_eq!(refused, bad);
        assert_eq!(paths.into_iter().collect::<Vec<_>>(), ["..a/b..", "a", "a b", "a/b"]);
    }

    #[test]
    fn a_key_may_stand_for_several_files_below_a_beginning() {
        let (paths, refused) = of_keys(
            &run(Some("/media/"), &["{key}", "small/{key}.webp"]),
            &["/media/a/b.png".into(), "/etc/x".into()],
        );
        assert_eq!(paths.into_iter().collect::<Vec<_>>(), ["a/b.png", "small/a/b.png.webp"]);
        assert_eq!(refused, ["/etc/x"]);
    }
}

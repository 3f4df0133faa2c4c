//! Who gets processors only while production wants none.

use std::fs;
use std::path::Path;

use crate::group::version;
use pw_model::host::CgroupVersion;

/// Whether the group, or one above it, is in the idle class, where the kernel weighs it against production: it weighs children of
/// one group against each other only, so that is the first group on the way down which production is not in.
pub(super) fn yields(root: &Path, path: &str, production: &[String]) -> bool {
    let tree = match version(root) {
        CgroupVersion::V1 => root.join("cpu"),
        CgroupVersion::V2 => root.to_owned(),
    };
    let path = Path::new(path.trim_start_matches('/'));
    production.iter().all(|production| {
        let production = Path::new(production.trim_start_matches('/'));
        let apart = path.ancestors().filter(|above| !production.starts_with(above)).last();
        let file = apart.map(|group| tree.join(group).join("cpu.idle"));
        file.and_then(|file| fs::read_to_string(file).ok()).is_some_and(|text| text.trim() == "1")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_where_production_is_weighed() {
        let root = tempfile::tempdir().expect("a folder");
        let idle = |group: &str, value: &str| {
            let folder = root.path().join("cpu").join(group);
            fs::create_dir_all(&folder).expect("folders");
            fs::write(folder.join("cpu.idle"), value).expect("a file");
        };
        idle("partywall-idle", "1\n");
        idle("partywall-idle/shop/development", "0\n");
        idle("partywall/shop/development", "1\n");
        idle("partywall", "0\n");
        idle("other", "0\n");
        idle("other/shop", "1\n");
        let gives_way = |path: &str, production: &[&str]| {
            let production: Vec<String> = production.iter().map(|path| (*path).to_owned()).collect();
            yields(root.path(), path, &production)
        };
        assert!(gives_way("/partywall-idle/shop/development", &["/partywall/shop/production"]));
        assert!(gives_way("/partywall/shop/development", &["/partywall/shop/production"]));
        assert!(!gives_way("/other/shop", &["/partywall/shop/production"]), "its neighbour is `other`");
        assert!(!gives_way("/other/shop", &["/partywall-idle/x", "/other/production"]), "not against both");
        assert!(!gives_way("/partywall/shop/production", &["/partywall/shop/production"]));
        assert!(!gives_way("/nowhere/shop", &["/partywall/shop/production"]));
    }
}

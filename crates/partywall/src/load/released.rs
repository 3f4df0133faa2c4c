//! An environment that runs a release: its Compose files and build contexts are the commit's, everything else is the folder's.

use std::path::{Path, PathBuf};

use pw_host::compose::ComposeInputs;
use pw_model::compose::ComposeModel;
use pw_model::release::Release;
use serde_json::Value;

/// Where a file of the project lies for the release.
pub(super) fn path(path: PathBuf, release: Option<&Release>) -> PathBuf {
    match release {
        Some(release) => PathBuf::from(release.in_tree(&path.to_string_lossy())),
        None => path,
    }
}

/// The release's Compose files, whose paths count from the project's folder: data and env files are there.
pub(super) fn inputs(inputs: ComposeInputs, release: Option<&Release>) -> ComposeInputs {
    if release.is_none() {
        return inputs;
    }
    let absolute: Vec<PathBuf> = inputs.files.iter().map(|file| inputs.directory.join(file)).collect();
    let counts_from = absolute.first().and_then(|first| first.parent()).map(Path::to_owned);
    let of_release = absolute.into_iter().map(|file| path(file, release).to_string_lossy().into_owned());
    ComposeInputs { files: of_release.collect(), counts_from, ..inputs }
}

/// The model, with everything that is built taken from the commit.
pub(super) fn model(mut model: ComposeModel, release: Option<&Release>) -> ComposeModel {
    let Some(release) = release else { return model };
    let services = model.0.get_mut("services").and_then(Value::as_object_mut).into_iter().flatten();
    for (_, service) in services {
        if let Some(build) = service.get_mut("build") {
            in_tree(build, release);
        }
    }
    model
}

fn in_tree(value: &mut Value, release: &Release) {
    match value {
        Value::String(text) => *text = release.in_tree(text),
        Value::Array(items) => items.iter_mut().for_each(|item| in_tree(item, release)),
        Value::Object(map) => map.values_mut().for_each(|item| in_tree(item, release)),
        _ => {}
    }
}

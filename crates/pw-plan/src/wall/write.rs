//! Writes a model as a Compose file.

use serde_json::Value;

/// The model as YAML. Strings that YAML would read as something else are quoted by the serializer.
pub fn yaml(model: &Value) -> String {
    // A JSON value has no state that a YAML document cannot hold.
    serde_saphyr::to_string(model).unwrap_or_default()
}

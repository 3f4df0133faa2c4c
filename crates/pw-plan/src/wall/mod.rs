//! The wall.

use serde_json::Value;

/// Writes a model as YAML.
pub fn yaml(model: &Value) -> String {
    serde_saphyr::to_string(model).unwrap_or_default()
}

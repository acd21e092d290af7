//! Upgrades configurations and parameter names of format 1, which earlier versions wrote.
//!
//! Format 1 knew one family, so its configurations have no field `family`. They contain the chunk sizes, which are
//! part of the `Execution` since format 2. The layers of the patch embedding were named `stem`.
//!
//! Weights files hold their format's number. A training checkpoint holds none, but its configuration shows the format.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The part of an execution that a weights file stores: the chunk sizes for separation. 0: everything at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChunkSizes {
    /// Bins that a time sub-layer processes at once.
    pub tsa_chunk_size: usize,
    /// Frames that a frequency or window sub-layer processes at once.
    pub fsa_chunk_size: usize,
}

/// Upgrades a configuration of format 1, as JSON, in place. Returns the chunk sizes that it contained, as JSON: an
/// object of [`ChunkSizes`]' fields. A configuration of a later format is unchanged, and the result is `None`.
pub fn upgrade_config(config: &mut Value) -> Option<Value> {
    let fields = config.as_object_mut().filter(|fields| !fields.contains_key("family"))?;
    let mut chunks = serde_json::Map::new();
    for name in ["tsa_chunk_size", "fsa_chunk_size"] {
        if let Some(size) = fields.remove(name) {
            chunks.insert(name.to_owned(), size);
        }
    }
    fields.insert("family".to_owned(), "tfswa_unet".into());
    Some(Value::Object(chunks))
}

/// The present name of a parameter that format 1 named `name`.
pub fn upgrade_parameter_name(name: &str) -> String {
    name.strip_prefix("stem.").map_or_else(|| name.to_owned(), |rest| format!("patch_embed.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn configurations_of_format_1_get_a_family_and_lose_their_chunk_sizes() {
        let mut config = json!({ "name": "x", "tsa_chunk_size": 3, "fsa_chunk_size": 0 });
        let chunks = upgrade_config(&mut config).unwrap();
        assert_eq!(chunks, json!({ "tsa_chunk_size": 3, "fsa_chunk_size": 0 }));
        assert_eq!(config, json!({ "name": "x", "family": "tfswa_unet" }));
        let upgraded = config.clone();
        assert_eq!(upgrade_config(&mut config), None);
        assert_eq!(config, upgraded);
        for other in [json!(null), json!([1])] {
            assert_eq!(upgrade_config(&mut other.clone()), None);
        }
    }

    #[test]
    fn only_the_patch_embedding_is_renamed() {
        assert_eq!(upgrade_parameter_name("stem.0.weight"), "patch_embed.0.weight");
        for name in ["stems.0.weight", "encoder.0.stem.weight", "head.bias"] {
            assert_eq!(upgrade_parameter_name(name), name);
        }
    }
}

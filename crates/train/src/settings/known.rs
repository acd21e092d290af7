//! The names that a setting's value may hold, from the registries of networks and loss terms.

use crate::loss::TERMS;
use crate::settings::setting::Setting;
use unbraid_model::STANDARD_NETWORKS;

/// A sentence that lists the names, for help texts. `None` for a setting whose value holds no names, or only those of
/// its [`Kind`](crate::settings::setting::Kind).
pub fn known_names(setting: &Setting) -> Option<String> {
    match setting.name {
        "model" => Some(format!("The standard networks are {}.", STANDARD_NETWORKS.join(", "))),
        "loss" => {
            let terms = TERMS.iter().map(|term| format!("{} ({})", term.name, term.meaning));
            Some(format!("The terms are {}.", terms.collect::<Vec<_>>().join(", ")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::config::SETTINGS;

    #[test]
    fn every_registered_name_is_listed() {
        let of =
            |name: &str| SETTINGS.iter().find(|setting| setting.name == name).and_then(known_names).unwrap();
        assert!(STANDARD_NETWORKS.iter().all(|network| of("model").contains(network)));
        assert!(TERMS.iter().all(|term| of("loss").contains(&format!("{} ({})", term.name, term.meaning))));
        assert_eq!(SETTINGS.iter().filter(|setting| known_names(setting).is_some()).count(), 2);
    }
}

//! The macro that turns one list of settings into a struct, its defaults and a table of descriptions.

/// Declares the settings. Every entry reads like a field of a struct:
///
/// ```text
/// group "Run" {
///     /// The meaning, for rustdoc, help texts and docs/settings.md.
///     steps: u64 = 100_000, bounds: at_least(1.0), may_change_on_resume: true;
/// }
/// ```
/// The properties after the default are fields of [`Setting`](crate::settings::setting::Setting).
///
/// The macro generates the struct with serde's derives, `Default`, the table `SETTINGS` and `value_results`.
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        pub struct $config:ident;
        $(group $group:literal { $(
            $(#[doc = $doc:literal])+
            $name:ident: $type:ty = $default:expr $(, $property:ident: $value:expr)*;
        )+ })+
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $config { $($( $(#[doc = $doc])+ pub $name: $type, )+)+ }

        impl Default for $config {
            fn default() -> Self {
                Self { $($( $name: $default, )+)+ }
            }
        }

        /// Every setting, in the order of the documentation.
        pub const SETTINGS: &[crate::settings::setting::Setting] = &[$($(
            crate::settings::setting::Setting {
                $($property: $value,)*
                ..crate::settings::setting::Setting::new(
                    stringify!($name),
                    {
                        const BYTES: [u8; stringify!($name).len()] =
                            crate::settings::setting::kebab(stringify!($name));
                        match std::str::from_utf8(&BYTES) {
                            Ok(name) => name,
                            Err(_) => panic!("a field name is ASCII"),
                        }
                    },
                    $group,
                    concat!($($doc),+).trim_ascii(),
                    <$type as crate::settings::setting::SettingType>::KIND,
                )
            },
        )+)+];

        impl $config {
            /// The value of every setting, in the order of `SETTINGS`. `None` for an optional setting that is not
            /// set, and an error for a value that TOML cannot hold.
            pub(crate) fn value_results(&self) -> Vec<Result<Option<toml::Value>, toml::ser::Error>> {
                vec![$($( $crate::settings::declare::value_of(&self.$name), )+)+]
            }
        }
    };
}

pub(crate) use settings;

/// The TOML value of one field; `None` if an optional field is not set.
pub(crate) fn value_of(value: &impl serde::Serialize) -> Result<Option<toml::Value>, toml::ser::Error> {
    let field = std::collections::BTreeMap::from([("value", value)]);
    Ok(toml::Table::try_from(field)?.remove("value"))
}

//! The flags of a training run. They are built from the table of settings, one for each.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use toml::{Table, Value};
use unbraid_train::settings::known::known_names;
use unbraid_train::settings::setting::{Kind, flag_text, parse_bytes};
use unbraid_train::{ConfigError, MemoryPreset, SETTINGS, Setting, TrainConfig};

/// The settings of a run: a file, a preset that replaces values of the file, and flags that replace values of both.
///
/// With `ALL` every setting has a flag, otherwise those that affect the memory of a step.
#[derive(Clone, Debug, Args)]
pub(crate) struct Settings<const ALL: bool> {
    /// TOML file of settings, as in configs/train. Presets and flags replace its values
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags<ALL>,
    /// Preset for low memory. low-vram keeps the network and the segments. level1 shortens segments to 2 s, level2 also
    /// uses an STFT of 512 samples, level3 also replaces tfswa_unet by tfswa_unet_small
    #[arg(long, value_name = "NAME", help_heading = "Memory")]
    preset: Option<MemoryPreset>,
}

impl<const ALL: bool> Settings<ALL> {
    /// The same file and flags with another preset.
    pub(crate) fn with_preset(&self, preset: MemoryPreset) -> Self {
        Self { preset: Some(preset), ..self.clone() }
    }

    /// The flag's value for a setting, if the flag is given.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.flags.0.get(name)
    }

    /// `config` with the values of the preset and the flags.
    pub(crate) fn over(&self, mut config: TrainConfig) -> Result<TrainConfig, ConfigError> {
        if let Some(preset) = self.preset {
            preset.apply(&mut config);
        }
        config.with_values(self.flags.0.clone())
    }
}

/// The values of the given flags, by the settings' names.
#[derive(Clone, Debug)]
struct Flags<const ALL: bool>(Table);

impl<const ALL: bool> Flags<ALL> {
    fn settings() -> impl Iterator<Item = &'static Setting> {
        SETTINGS.iter().filter(|setting| ALL || setting.affects_memory)
    }
}

impl<const ALL: bool> Args for Flags<ALL> {
    fn augment_args(command: Command) -> Command {
        let defaults = TrainConfig::default().to_table().unwrap_or_default();
        Self::settings()
            .fold(command, |command, setting| command.arg(argument(setting, defaults.get(setting.name))))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const ALL: bool> FromArgMatches for Flags<ALL> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let value = |setting: &'static Setting| {
            let mut values = matches.get_many::<Value>(setting.name)?.cloned();
            let first = values.next()?;
            let rest: Vec<Value> = values.collect();
            let value = if rest.is_empty() { first } else { list([first].into_iter().chain(rest)) };
            Some((setting.name.to_owned(), value))
        };
        Ok(Self(Self::settings().filter_map(value).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}

/// The values of a flag that was given several times, as one list.
fn list(values: impl Iterator<Item = Value>) -> Value {
    let each = |value| match value {
        Value::Array(values) => values,
        value => vec![value],
    };
    Value::Array(values.flat_map(each).collect())
}

fn argument(setting: &'static Setting, default: Option<&Value>) -> Arg {
    let parse = move |text: OsString| {
        let text = text.to_str().ok_or("must be UTF-8; rename the file or folder")?;
        setting.parse(text)
    };
    let argument = Arg::new(setting.name)
        .long(setting.flag)
        .value_name(setting.value_name)
        .help(help(setting, default))
        .help_heading(setting.group)
        .allow_negative_numbers(true)
        .value_parser(OsStringValueParser::new().try_map(parse));
    let argument = if setting.kind.repeats() { argument.action(ArgAction::Append) } else { argument };
    if setting.flag == setting.kebab_name { argument } else { argument.alias(setting.kebab_name) }
}

fn help(setting: &Setting, default: Option<&Value>) -> String {
    let mut help = setting.summary().to_owned();
    if let Some(names) = known_names(setting) {
        help += &format!(". {}", names.trim_end_matches('.'));
    }
    if let Kind::Choice(names) = setting.kind {
        help += &format!(" [values: {}]", names.join(", "));
    }
    match default.map(flag_text) {
        Some(default) if !default.is_empty() => help += &format!(" [default: {default}]"),
        _ => {}
    }
    help
}

/// The flags that change the settings `from` into `to`.
pub(crate) fn flags_between(from: &TrainConfig, to: &TrainConfig) -> Result<String, ConfigError> {
    let (from, to) = (from.to_table()?, to.to_table()?);
    let changed = SETTINGS.iter().filter_map(|setting| {
        let value = to.get(setting.name).filter(|value| from.get(setting.name) != Some(value))?;
        Some(format!("--{} {}", setting.flag, flag_text(value)))
    });
    Ok(changed.collect::<Vec<_>>().join(" "))
}

/// Reads a size in bytes, for flags that are not settings.
pub(crate) fn bytes(text: &str) -> Result<u64, &'static str> {
    parse_bytes(text).ok_or("must be a number of bytes, for example 8GB, 7.5GiB or 800MB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use unbraid_model::{Precision, Recompute};

    #[derive(Debug, Parser)]
    struct Train {
        #[command(flatten)]
        settings: Settings<true>,
    }

    fn parse(flags: &str) -> Result<TrainConfig, String> {
        let train = Train::try_parse_from(format!("train {flags}").split_whitespace());
        train
            .map_err(|error| error.to_string())?
            .settings
            .over(TrainConfig::default())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn flags_replace_values() {
        let flags = "--out runs/x --data d --model tfswa_unet_tiny --segment 3 --batch-size 2 --minutes 10 \
                     --memory-limit 8GB --n-fft 1024 --hop-length 256 --recompute block --precision f16 \
                     --loss waveform=1,spectral=0 --betas 0.9,0.99 --optimizer muon --loss-resolutions 512,256";
        let config = parse(flags).unwrap();
        let expected = TrainConfig {
            run: "runs/x".into(),
            data: "d".into(),
            model: "tfswa_unet_tiny".into(),
            segment_seconds: 3.0,
            batch_size: 2,
            max_minutes: Some(10.0),
            memory_limit: Some(8_000_000_000),
            n_fft: Some(1024),
            hop_length: Some(256),
            recompute: Recompute::Block,
            precision: Precision::F16,
            loss: [("waveform".into(), 1.0), ("spectral".into(), 0.0)].into(),
            betas: [0.9, 0.99],
            optimizer: unbraid_train::settings::config::OptimizerKind::Muon,
            loss_resolutions: vec![512, 256],
            ..Default::default()
        };
        assert_eq!(config, expected);
        assert_eq!(parse("--segment-seconds 3 --run r").unwrap(), parse("--segment 3 --out r").unwrap());
    }

    #[test]
    fn flags_for_lists_may_be_repeated() {
        let config =
            parse("--data a --data b*2 --validation-songs x --validation-songs y --stems-map g=other")
                .unwrap();
        let expected = TrainConfig {
            data: unbraid_train::Roots(["a", "b*2"].map(unbraid_train::Root::parse).to_vec()),
            validation_songs: ["x", "y"].map(String::from).to_vec(),
            stems_map: [("g".into(), "other".into())].into(),
            ..Default::default()
        };
        assert_eq!(config, expected);
        assert_eq!(TrainConfig::from_toml(&config.to_toml()).unwrap(), expected);
        assert_eq!(parse("--data b*2").unwrap().data, "b*2".into());
    }

    /// The flag of every setting reads back every value that it writes.
    #[test]
    fn every_setting_has_a_flag() {
        let other = TrainConfig {
            run: "runs/x".into(),
            memory_limit: Some(1000),
            n_fft: Some(512),
            hop_length: Some(128),
            max_minutes: Some(0.5),
            validation_seconds: Some(30.0),
            ..Default::default()
        };
        for (name, value) in other.to_table().unwrap() {
            let setting = SETTINGS.iter().find(|setting| setting.name == name).unwrap();
            let text = flag_text(&value);
            let arguments = ["train".into(), format!("--{}", setting.flag), text.clone()];
            let settings = Train::try_parse_from(arguments).unwrap().settings;
            let config = settings.over(TrainConfig::default()).unwrap();
            assert_eq!(config.to_table().unwrap()[&name], value, "--{} {text}", setting.flag);
        }
    }

    #[test]
    fn a_refused_value_names_the_flag_and_the_accepted_values() {
        for (flags, flag, accepted) in [
            ("--batch-size x", "--batch-size", "an integer from 1 to 4096"),
            ("--batch-size 0", "--batch-size", "an integer from 1 to 4096"),
            ("--weight-decay -1", "--weight-decay", "a number of at least 0"),
            ("--precision f64", "--precision", "f32 or f16"),
            ("--memory-limit much", "--memory-limit", "8GB"),
            ("--preset level4", "--preset", "level3"),
        ] {
            let error = parse(flags).unwrap_err();
            assert!(error.contains(flag) && error.contains(accepted), "{error}");
        }
    }

    #[test]
    fn flags_between_two_settings() {
        let from = TrainConfig::default();
        assert_eq!(flags_between(&from, &from).unwrap(), "");
        let to = TrainConfig {
            micro_batch_size: 1,
            recompute: Recompute::Block,
            fsa_chunk_size: 32,
            ..from.clone()
        };
        let flags = flags_between(&from, &to).unwrap();
        assert_eq!(flags, "--micro-batch-size 1 --recompute block --fsa-chunk-size 32");
        assert_eq!(parse(&flags).unwrap(), to);
        let half = TrainConfig { precision: Precision::F16, ..to.clone() };
        assert_eq!(flags_between(&to, &half).unwrap(), "--precision f16");
    }
}

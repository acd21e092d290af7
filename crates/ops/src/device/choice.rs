//! The device that a user requests, and the reasons why it may not be available.

use std::fmt;
use std::str::FromStr;

/// A requested device, written `auto`, `cpu`, `gpu` or `gpu:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Choice {
    /// The best trusted GPU, or the CPU if there is none. Never a software adapter.
    #[default]
    Auto,
    /// The CPU, through Flex.
    Cpu,
    /// The adapter with this index in `device::list`. Without an index: the best trusted GPU, or a trusted
    /// software adapter if there is none.
    Gpu(Option<usize>),
}

impl FromStr for Choice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown(text.to_owned());
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu(None)),
            _ => {
                let index = text.strip_prefix("gpu:").ok_or_else(unknown)?;
                // The parser of usize would accept "+1".
                let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
                digits.then(|| index.parse().ok()).flatten().map(|n| Self::Gpu(Some(n))).ok_or_else(unknown)
            }
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(None) => f.write_str("gpu"),
            Self::Gpu(Some(index)) => write!(f, "gpu:{index}"),
        }
    }
}

/// The reason why a requested device is not available.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The text names no device.
    #[error("`{0}` is not a device; devices are auto, cpu, gpu, and gpu:N with an adapter's index N")]
    Unknown(String),
    /// wgpu finds no adapter.
    #[error("no GPU was found: {REQUIREMENT}")]
    NoAdapter,
    /// The machine has fewer adapters.
    #[error("there is no gpu:{index}: this machine has {count} adapters, counted from 0")]
    NoSuchAdapter {
        /// The requested index.
        index: usize,
        /// Number of adapters of this machine.
        count: usize,
    },
    /// The adapter exists, but is known to compute wrong results, or is too small.
    #[error("{name} is not used: {reason}")]
    Untrusted {
        /// The adapter's name.
        name: String,
        /// The reason why it is not used.
        reason: String,
    },
    /// The driver refused to open the adapter.
    #[error("{name} could not be opened: {reason}")]
    Unavailable {
        /// The adapter's name.
        name: String,
        /// wgpu's message.
        reason: String,
    },
}

#[cfg(target_os = "linux")]
const REQUIREMENT: &str = "a GPU needs the Vulkan loader (libvulkan1 on Debian and Ubuntu, vulkan-loader on Fedora, \
                           vulkan-icd-loader on Arch) and a Vulkan driver (mesa-vulkan-drivers for AMD and Intel, \
                           NVIDIA's own for NVIDIA)";
#[cfg(target_os = "windows")]
const REQUIREMENT: &str = "a GPU needs its vendor's current driver, which includes Vulkan and Direct3D 12";
#[cfg(not(any(target_os = "linux", target_os = "windows")))]
const REQUIREMENT: &str = "this machine offers neither Metal nor Vulkan";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_parse_and_display_alike() {
        for text in ["auto", "cpu", "gpu", "gpu:0", "gpu:17"] {
            assert_eq!(text.parse::<Choice>().map(|choice| choice.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "GPU", "gpu:", "gpu:-1", "gpu:+1", "gpu:1x", "gpu:99999999999999999999", "cuda"] {
            assert_eq!(text.parse::<Choice>(), Err(DeviceError::Unknown(text.to_owned())));
        }
    }
}

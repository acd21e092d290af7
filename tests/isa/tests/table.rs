//! Holds the shaders of the presets to the table of an RDNA3 GPU, with RADV without hardware.

use std::process::Command;

use libtest_mimic::{Arguments, Completion, Trial};

/// The exit code of the program on a machine without the drivers.
const CANNOT_RUN: i32 = 77;

fn main() {
    let trial = Trial::ignorable_test("no_shader_spills_or_has_more_instructions_than_the_table", || {
        let output = Command::new(env!("CARGO_BIN_EXE_isa")).arg("--quiet").output()?;
        let [out, errors] =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        match output.status.code() {
            Some(0) => Ok(Completion::Completed),
            Some(CANNOT_RUN) => Ok(Completion::ignored_with(errors.trim())),
            _ => Err(format!("{out}{errors}").into()),
        }
    });
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit();
}

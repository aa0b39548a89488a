//! Tests that `scan` and the converter agree for every fixture which files contain weights.

use git_st_convert::checkpoint::{self, Error, Format, Options, Plan};
use git_st_convert::scan::{self, Verdict};

use super::{expected, fixtures, key_of};

/// Returns the verdict on the globals of a plan.
fn verdict(plan: &Plan) -> Verdict {
    let is_weights = |named: &checkpoint::Named| checkpoint::is_weights(&named.module, &named.name);
    if scan::dangerous(&plan.globals).is_some() {
        Verdict::Dangerous
    } else if plan.globals.iter().all(is_weights) {
        Verdict::Weights
    } else {
        Verdict::Unknown
    }
}

#[test]
fn scan_and_converter_agree_on_what_is_weights() {
    let (mut wrong, mut planned, mut refused, mut less) = (Vec::new(), 0, 0, 0);
    for (file, expected) in expected().iter().filter(|(_, expected)| !expected.generated) {
        let bytes = std::fs::read(fixtures().join("checkpoints").join(file)).unwrap();
        let scanned = scan::scan(&bytes, &scan::Limits::default()).unwrap();
        let options = Options::with_key(key_of(&expected.args));
        match checkpoint::plan(&bytes, &options) {
            Ok(plan) => {
                planned += 1;
                let ours = verdict(&plan);
                // A tar file names its tensors in another pickle than the object; a conversion checks the CRC later.
                let is_less = scanned.verdict == Verdict::Unknown && plan.format == Format::Tar
                    || scanned.verdict == Verdict::Unreadable && file == "crc-pickle.bin";
                less += usize::from(is_less);
                if scanned.verdict != ours && !is_less {
                    wrong.push(format!("{file}: scan says {:?}, the converter {ours:?}", scanned.verdict));
                }
            }
            // A file that is refused because of an unknown global has no verdict `weights`.
            Err(Error::Opaque { .. } | Error::WholeObject { .. } | Error::Module { .. }) => {
                refused += 1;
                if scanned.verdict == Verdict::Weights {
                    wrong.push(format!("{file}: scan says weights, the converter refuses a name"));
                }
            }
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(planned > 200 && refused > 5 && less < 20, "{planned} planned, {refused} refused, {less} less");
}

//! Files for others' programs: Buildroot's external tree, Yocto's layer, workflows and the lists of components. They
//! are read and checked here, and none of those programs is run.

use super::files::{directory, hash};
use super::manifest::Manifest;
use super::release;
use crate::conformance::install;
use crate::run;

/// Checkers from the Python registry, each at the version whose rules the files are held to.
const KCONFIG: &str = "kconfiglib==14.1.0";
const RECIPES: &str = "oelint-adv==9.11.2";
const WORKFLOWS: &str = "check-jsonschema==0.39.0";
const COMPONENTS: &str = "cyclonedx-python-lib[json-validation]==11.12.0";

const BUILDROOT: &str = "cross/packages/buildroot";
const RECIPE: &str = "cross/packages/yocto/meta-friendlet/recipes-core/friendlet";

/// Rules that ask for what does not exist: a site, a tracker, a name in a list of weaknesses, a build for the host.
const LEFT_OUT: [&str; 4] = [
    "oelint.var.mandatoryvar.HOMEPAGE",
    "oelint.var.suggestedvar.BUGTRACKER",
    "oelint.var.suggestedvar.CVE_PRODUCT",
    "oelint.var.bbclassextend",
];

/// Reads Buildroot's menu with its own language's parser; an unknown symbol is a warning, and so an error here.
const READ_MENU: &str = "
import sys, kconfiglib
menu = kconfiglib.Kconfig(sys.argv[1], warn_to_stderr=False)
menu.syms['BR2_PACKAGE_FRIENDLET'].set_value('y')
assert menu.syms['BR2_PACKAGE_HOST_RUSTC'].str_value == 'y', 'the compiler is not selected'
assert menu.syms['BR2_PACKAGE_FRIENDLET_BOARD'].str_value == 'host'
sys.exit('\\n'.join(menu.warnings) or 0)
";
/// The part of Buildroot's menu that it refers to.
const MENU: &str = "config BR2_PACKAGE_HOST_RUSTC_TARGET_ARCH_SUPPORTS\n\tdef_bool y\n\n\
                    config BR2_PACKAGE_HOST_RUSTC\n\tbool\n\nsource \"$BR2_EXTERNAL_FRIENDLET_PATH/Config.in\"\n";
/// The part of Buildroot's makefiles that it refers to.
const MAKEFILE: &str = "qstrip = $(strip $(subst \",,$(1)))\n\
                        cargo-package = read := $(FRIENDLET_VERSION) $(FRIENDLET_SOURCE) $(FRIENDLET_SITE)\n\
                        include $(BR2_EXTERNAL_FRIENDLET_PATH)/external.mk\n\
                        all:\n\t@echo $(read)\n";

/// Reads the list of an architecture by the schema of its format.
const READ_LIST: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
for path in sys.argv[1:]:
    error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(path).read())
    sys.exit(f'{path}: {error}') if error else None
";

/// Checks all of them.
pub(super) fn check() -> Result<(), String> {
    let work = directory().join("trees");
    run::create_directory(&work)?;
    let version = release::version()?;
    let external = run::root().join(BUILDROOT);

    let python = install(&work.join("kconfig"), KCONFIG, &[])?.join("bin/python");
    run::write(&work.join("Config.in"), MENU)?;
    let mut command = run::at_root(&python.to_string_lossy());
    command.args(["-c", READ_MENU]).arg(work.join("Config.in")).env("BR2_EXTERNAL_FRIENDLET_PATH", &external);
    run::captured(&mut command)?;

    run::write(&work.join("Makefile"), MAKEFILE)?;
    let mut command = run::at_root("make");
    command.args(["--warn-undefined-variables", "-C"]).arg(&work).arg("--no-print-directory");
    command.env("BR2_EXTERNAL_FRIENDLET_PATH", &external);
    let variables = ["BR2_PACKAGE_FRIENDLET_SITE=\"file:///x\"", "BR2_PACKAGE_FRIENDLET_BOARD=\"host\""];
    let read = run::captured(command.args(variables))?;
    let wanted = format!("{version} friendlet-{version}.tar.xz file:///x");
    if read.trim() != wanted {
        return Err(format!("{BUILDROOT}: expected '{wanted}', read '{}'", read.trim()));
    }
    println!("    {BUILDROOT}: its menu and its makefile are read");

    let recipe = format!("{RECIPE}/friendlet_{version}.bb");
    let linter = install(&work.join("recipes"), RECIPES, &[])?.join("bin/oelint-adv");
    let mut command = run::at_root(&linter.to_string_lossy());
    command.args(["--quiet", "--release=scarthgap"]);
    command.args(LEFT_OUT.map(|rule| format!("--suppress={rule}"))).arg(&recipe);
    run::captured(&mut command)?;
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        let sum = hash("md5sum", &run::bytes_of(&run::root().join(licence))?)?;
        if !run::read(&run::root().join(&recipe))?.contains(&format!("file://{licence};md5={sum}")) {
            return Err(format!("{recipe}: the sum of {licence} is {sum}"));
        }
    }
    println!("    {recipe}: oelint-adv has no finding");

    let checker = install(&work.join("workflows"), WORKFLOWS, &[])?.join("bin/check-jsonschema");
    let mut command = run::at_root(&checker.to_string_lossy());
    command.args(["--quiet", "--builtin-schema", "vendor.github-workflows"]);
    let workflows = ["ci", "release", "book"].map(|name| format!(".github/workflows/{name}.yml"));
    run::captured(command.args(workflows))?;
    println!("    .github/workflows: as their schema has them");

    let python = install(&work.join("components"), COMPONENTS, &[])?.join("bin/python");
    let mut command = run::at_root(&python.to_string_lossy());
    command.args(["-c", READ_LIST]);
    for architecture in Manifest::load()?.architecture.keys() {
        command.arg(directory().join(format!("friendlet_{version}_{architecture}.cdx.json")));
    }
    run::captured(&mut command)?;
    println!("    the lists of components are CycloneDX");
    Ok(())
}

//! U-Boot's script: the board's values, then `cross/image/boot.cmd`.

use crate::machine::Image;

/// Byte of the boot state that holds the slot in force; the tries left follow it.
pub(crate) const STATE_SLOT: usize = 4;
/// Byte of the boot state that holds the tries left.
pub(crate) const STATE_TRIES: usize = 5;

/// The script of this board, to be wrapped by `mkimage -T script`.
pub(crate) fn script(image: &Image, common: &str) -> Result<String, String> {
    let u_boot = &image.u_boot;
    let scratch = u64::from(u_boot.scratch);
    let mut lines = String::new();
    let mut set = |name: &str, value: String| -> Result<(), String> {
        // Within the quotes nothing else has a meaning to U-Boot's shell.
        if value.contains(['"', '$', '\\', '\n']) {
            return Err(format!("'{value}' cannot be said to U-Boot: a \", $, \\ or line end is in it"));
        }
        lines += &format!("setenv {name} \"{value}\"\n");
        Ok(())
    };
    set("f_kernel", format!("{:x}", u_boot.kernel))?;
    set("f_initrd", format!("{:x}", u_boot.initrd))?;
    set("f_fdt", u_boot.device_tree.map(|address| format!("{address:x}")).unwrap_or_default())?;
    set("f_state", format!("{scratch:x}"))?;
    set("f_slot", format!("{:x}", scratch + STATE_SLOT as u64))?;
    set("f_tries", format!("{:x}", scratch + STATE_TRIES as u64))?;
    set("f_boot", image.kernel_format.command().to_owned())?;
    set("f_args_a", image.command_line("A", &image.partition_device(2)))?;
    set("f_args_b", image.command_line("B", &image.partition_device(3)))?;
    Ok(lines + common)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Board;

    #[test]
    fn a_script_holds_the_values_of_its_board() {
        let board = Board::load("qemu-armv7").unwrap();
        let mut image = Image::of(&board).unwrap().unwrap();
        let text = script(&image, "echo common\n").unwrap();
        let state = u64::from(image.u_boot.scratch);
        for line in [
            format!("setenv f_tries \"{:x}\"\n", state + 5),
            "setenv f_boot \"bootm\"\n".to_owned(),
            "friendlet.root=/dev/vda2 friendlet.slot=A friendlet.data=/dev/vda4".to_owned(),
            "friendlet.root=/dev/vda3 friendlet.slot=B friendlet.data=/dev/vda4".to_owned(),
        ] {
            assert!(text.contains(&line), "{line} in {text}");
        }
        assert!(text.ends_with("echo common\n"));
        image.arguments = "a=\"b c\"".to_owned();
        assert!(script(&image, "").unwrap_err().contains("a=\"b c\""));
    }
}

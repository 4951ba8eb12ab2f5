# friendlet's boot script for U-Boot: chooses slot A or B by the boot state and starts the kernel.
#
# Before these lines the image puts those of the board (cross/xtask/src/image/script.rs):
#   f_kernel f_initrd       where in memory kernel and initramfs go
#   f_fdt                   where the device tree ${fdtfile} goes; empty: U-Boot's own is passed on
#   f_state f_slot f_tries  where the sector of the boot state goes, and bytes 4 and 5 of it
#   f_boot                  bootz, bootm or booti
#   f_args_a f_args_b       the kernel's command line for each slot
#
# The boot state is sector 64 (0x40) of the disk: "FLB1", the slot in force (0x41 A, 0x42 B), then
# the tries left: ff when the slot has proven itself. No "FLB1": slot A, and nothing is written.
# Without setexpr, because some boards' U-Boot lacks it.

setenv f_use A
setenv f_found
${devtype} dev ${devnum}
if ${devtype} read ${f_state} 40 1; then
  if itest.l *${f_state} == 31424c46; then
    setenv f_found 1
  fi
fi
if test -n "${f_found}"; then
  setenv f_done
  if itest.b *${f_slot} == 42; then setenv f_use B; fi
  if itest.b *${f_tries} == ff; then setenv f_done 1; fi
  if test -z "${f_done}"; then
    setenv f_less 0
    for f_try in 1 2 3 4 5 6 7 8 9 a b c d e f; do
      if test -z "${f_done}"; then
        if itest.b *${f_tries} == ${f_try}; then
          mw.b ${f_tries} ${f_less}
          setenv f_done write
        fi
      fi
      setenv f_less ${f_try}
    done
  fi
  if test -z "${f_done}"; then
    # No try left (or a number that nobody writes): the other slot has three, this boot is one.
    echo "friendlet: slot ${f_use} did not come up, back to the other"
    if test "${f_use}" = A; then
      setenv f_use B
      mw.b ${f_slot} 42
    else
      setenv f_use A
      mw.b ${f_slot} 41
    fi
    mw.b ${f_tries} 2
    setenv f_done write
  fi
  if test "${f_done}" = write; then
    if ${devtype} write ${f_state} 40 1; then true; else
      echo "friendlet: the boot state could not be written"
    fi
  fi
fi
echo "friendlet: starting slot ${f_use}"
if test "${f_use}" = A; then
  setenv bootargs "${f_args_a}"
else
  setenv bootargs "${f_args_b}"
fi

# U-Boot would move the initramfs to the end of memory, where a small board has no room for it.
setenv initrd_high ffffffffffffffff
if test "${f_boot}" != booti; then setenv initrd_high ffffffff; fi
if test -n "${fdt_addr}"; then setenv f_tree ${fdt_addr}; else setenv f_tree ${fdtcontroladdr}; fi
if test -n "${f_fdt}"; then
  if load ${devtype} ${devnum}:1 ${f_fdt} ${fdtfile}; then setenv f_tree ${f_fdt}; fi
fi
if load ${devtype} ${devnum}:1 ${f_kernel} kernel; then
  if load ${devtype} ${devnum}:1 ${f_initrd} initrd.img; then
    ${f_boot} ${f_kernel} ${f_initrd}:${filesize} ${f_tree}
  fi
fi

# Nobody stands beside the board: trying again is better than a prompt.
echo "friendlet: the kernel could not be started; again in 5 s"
sleep 5
reset

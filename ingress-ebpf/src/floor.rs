//! What the packet benchmark measures against: a harness and two floors.
//!
//! `harness` writes a fresh packet over the buffer, which the kernel does not restore between the
//! runs of BPF_PROG_TEST_RUN, and tail-calls the program under test. `floor_pass` only returns,
//! `floor_lookup` parses and asks one hash map: nothing that decides by destination can be cheaper.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

/// The host build exists for the lints of the workspace.
#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("these are kernel programs: build with --target bpfel-unknown-none");
}

#[cfg(target_arch = "bpf")]
mod floor {
    use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_PASS};
    use aya_ebpf::helpers::bpf_ktime_get_ns;
    use aya_ebpf::macros::{map, xdp};
    use aya_ebpf::maps::{Array, HashMap, ProgramArray};
    use aya_ebpf::programs::XdpContext;

    /// The packet to be written and how its source varies; userspace writes the same layout.
    #[repr(C)]
    pub(crate) struct Template {
        /// Runs so far.
        run: u32,
        /// Flows - 1, for a power of two of flows.
        mask: u32,
        /// Offset of the last 4 bytes of the source address, which grows every 4,096 flows.
        address: u32,
        /// Offset of the source port; 0 keeps the port and gives every flow its own address.
        port: u32,
        bytes: [u64; 12],
    }

    #[map]
    static TEMPLATE: Array<Template> = Array::with_max_entries(1, 0);

    #[map]
    static TARGET: ProgramArray = ProgramArray::with_max_entries(1, 0);

    #[map]
    static KNOWN: HashMap<u64, u64> = HashMap::with_max_entries(1024, 0);

    #[xdp(frags)]
    pub(crate) fn harness(context: XdpContext) -> u32 {
        let Some(template) = TEMPLATE.get_ptr_mut(0) else { return XDP_ABORTED };
        // SAFETY: a live map element; runs of the harness do not overlap.
        let template = unsafe { &mut *template };
        let start = context.data();
        if start + 96 > context.data_end() {
            return XDP_ABORTED;
        }
        let mut index = 0;
        while index < 12 {
            // SAFETY: within the 96 bytes checked above.
            unsafe { ((start + index * 8) as *mut u64).write_unaligned(template.bytes[index]) };
            index += 1;
        }
        // An odd multiplier visits every flow once per round, far from the one before.
        let flow = template.run.wrapping_mul(0x9e37_79b1) & template.mask;
        template.run = template.run.wrapping_add(1);
        let address = start + (template.address & 63) as usize;
        let port = start + (template.port & 63) as usize;
        if template.mask != 0 && address + 4 <= context.data_end() && port + 2 <= context.data_end()
        {
            // SAFETY: both within the frame, checked in the line above.
            unsafe {
                let base = u32::from_be((address as *const u32).read_unaligned());
                if template.port == 0 {
                    (address as *mut u32).write_unaligned((base + flow).to_be());
                } else {
                    (address as *mut u32).write_unaligned((base + (flow >> 12)).to_be());
                    (port as *mut u16).write_unaligned((16_384 + (flow & 4095) as u16).to_be());
                }
            }
        }
        // Time for the stores to reach the cache: a real packet is there when a program reads it, and
        // must not stall on loads that straddle stores of a moment ago.
        // SAFETY: the helper has no preconditions.
        let _settled = unsafe { bpf_ktime_get_ns() };
        // SAFETY: the map holds XDP programs only.
        unsafe { TARGET.tail_call(&context, 0) };
        XDP_ABORTED
    }

    #[xdp(frags)]
    pub(crate) fn floor_pass(_context: XdpContext) -> u32 {
        XDP_PASS
    }

    #[xdp(frags)]
    pub(crate) fn floor_lookup(context: XdpContext) -> u32 {
        let start = context.data();
        if start + 54 > context.data_end() {
            return XDP_PASS;
        }
        // SAFETY: within the 54 bytes checked above.
        let (kind, protocol, destination, port) = unsafe {
            (
                ((start + 12) as *const u16).read_unaligned(),
                ((start + 23) as *const u8).read_unaligned(),
                ((start + 30) as *const u32).read_unaligned(),
                ((start + 36) as *const u16).read_unaligned(),
            )
        };
        if kind != 0x0800_u16.to_be() || protocol != 6 {
            return XDP_PASS;
        }
        let key = (destination as u64) << 32 | (port as u64) << 16 | protocol as u64;
        // SAFETY: the value is not kept beyond the program's run.
        match unsafe { KNOWN.get(key) } {
            Some(&value) if value == u64::MAX => XDP_ABORTED,
            Some(_) | None => XDP_PASS,
        }
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        // The programs can't panic; the verifier would refuse the loop.
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}

//! The bytes of a received frame. The only pointer arithmetic on packets.

use aya_ebpf::helpers::bpf_xdp_get_buff_len;
use aya_ebpf::programs::XdpContext;
use bytemuck::Pod;
use ingress_ebpf::packet::Frame;

pub(crate) struct XdpFrame<'a> {
    pub(crate) context: &'a XdpContext,
}

impl XdpFrame<'_> {
    /// The address of `size` readable bytes. The linear part of the frame alone: headers are there.
    #[inline(always)]
    fn within(&self, offset: usize, size: usize) -> Option<usize> {
        let start = self.context.data() + offset;
        if start + size > self.context.data_end() { None } else { Some(start) }
    }
}

impl Frame for XdpFrame<'_> {
    #[inline(always)]
    fn read<T: Pod>(&self, offset: usize) -> Option<T> {
        let start = self.within(offset, size_of::<T>())?;
        // SAFETY: the bytes lie within the frame, and any bytes are a `T`.
        Some(unsafe { (start as *const T).read_unaligned() })
    }

    #[inline(always)]
    fn write<T: Pod>(&mut self, offset: usize, value: &T) -> Option<()> {
        let start = self.within(offset, size_of::<T>())?;
        // SAFETY: the bytes lie within the frame, which is ours until the program returns.
        unsafe { (start as *mut T).write_unaligned(*value) };
        Some(())
    }

    #[inline(always)]
    fn reaches(&self, end: usize) -> bool {
        let linear = self.context.data_end() - self.context.data();
        // SAFETY: the context of the running program.
        linear >= end || unsafe { bpf_xdp_get_buff_len(self.context.ctx) } as usize >= end
    }
}

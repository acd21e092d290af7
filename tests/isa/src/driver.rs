//! RADV without hardware: compiles compute shaders and reports what the compiler made of them.
//!
//! wgpu cannot open this device, see `Cargo.toml`. The device is opened, and shaders are translated, as wgpu and burn do
//! it: without bounds checks in the shader, with the robust buffer access of the hardware.
#![expect(
    unsafe_code,
    reason = "Vulkan is a C interface; every call here passes objects that live until `drop`"
)]

use std::ffi::{CStr, c_char};

use anyhow::{Context, Result, bail, ensure};
use ash::{ext, khr, vk};
use naga::back::spv;
use naga::front::wgsl;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use unbraid_ops::Shader;

/// A shader, compiled.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    /// Numbers that the driver reports, by its names for them.
    statistics: Vec<(String, u64)>,
    /// The machine code as text.
    pub(crate) assembly: String,
}

impl Compiled {
    /// The number that the driver calls `name`.
    pub(crate) fn statistic(&self, name: &str) -> Result<u64> {
        let found = self.statistics.iter().find(|(known, _)| known == name);
        Ok(found.with_context(|| format!("the driver reports no {name:?}"))?.1)
    }
}

/// An open device without hardware.
pub(crate) struct Driver {
    /// Keeps the loader's library open.
    _entry: ash::Entry,
    instance: ash::Instance,
    device: ash::Device,
    executables: khr::pipeline_executable_properties::Device,
    /// Name and version, such as `Mesa 25.0.7-2`.
    pub(crate) version: String,
}

impl Driver {
    /// Opens the first device of the Vulkan loader, which the environment restricts to RADV without hardware.
    pub(crate) fn open() -> Result<Self> {
        // SAFETY: the loader is Vulkan's.
        let entry = unsafe { ash::Entry::load() }.context("no Vulkan loader")?;
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let info = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: `info` and what it refers to are valid.
        let instance = unsafe { entry.create_instance(&info, None) }.context("vkCreateInstance")?;
        match Self::open_device(&instance) {
            Ok((device, version)) => {
                let executables = khr::pipeline_executable_properties::Device::new(&instance, &device);
                Ok(Self { _entry: entry, instance, device, executables, version })
            }
            Err(error) => {
                // SAFETY: nothing of the instance is left.
                unsafe { instance.destroy_instance(None) };
                Err(error)
            }
        }
    }

    fn open_device(instance: &ash::Instance) -> Result<(ash::Device, String)> {
        // SAFETY: the instance is open.
        let devices = unsafe { instance.enumerate_physical_devices() }.context("no Vulkan driver")?;
        let physical = *devices.first().context("the driver offers no device")?;
        let mut driver = vk::PhysicalDeviceDriverProperties::default();
        let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
        // SAFETY: the device is one of the instance's, and knows Vulkan 1.2.
        unsafe { instance.get_physical_device_properties2(physical, &mut properties) };
        let name = text(&properties.properties.device_name);
        ensure!(
            name.starts_with("Null hardware"),
            "the driver offers {name:?}, not a device without hardware"
        );

        let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
        let extensions =
            [khr::pipeline_executable_properties::NAME, ext::robustness2::NAME].map(CStr::as_ptr);
        let mut executables = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
            .pipeline_executable_info(true);
        let mut robustness = vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
        let mut features_11 = vk::PhysicalDeviceVulkan11Features::default().storage_buffer16_bit_access(true);
        let mut features_12 =
            vk::PhysicalDeviceVulkan12Features::default().shader_float16(true).vulkan_memory_model(true);
        let core = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true);
        let info = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_extension_names(&extensions)
            .enabled_features(&core)
            .push_next(&mut executables)
            .push_next(&mut robustness)
            .push_next(&mut features_11)
            .push_next(&mut features_12);
        // SAFETY: `info` and what it refers to are valid.
        let device = unsafe { instance.create_device(physical, &info, None) }.context("vkCreateDevice")?;
        Ok((device, text(&driver.driver_info)))
    }

    /// Compiles a shader.
    pub(crate) fn compile(&self, shader: &Shader) -> Result<Compiled> {
        let code = spirv(&shader.source)?;
        let bindings: Vec<_> = (0..shader.bindings as u32)
            .map(|binding| {
                vk::DescriptorSetLayoutBinding::default()
                    .binding(binding)
                    .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        let set_info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        let module_info = vk::ShaderModuleCreateInfo::default().code(&code);
        // SAFETY: the device is open, the code is valid SPIR-V, and every object is destroyed after its last use. If a
        // creation fails, the objects before it leak until the process ends, which the failure causes.
        unsafe {
            let set = self.device.create_descriptor_set_layout(&set_info, None)?;
            let sets = [set];
            let layout_info = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = self.device.create_pipeline_layout(&layout_info, None)?;
            let module = self.device.create_shader_module(&module_info, None)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE)
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(c"main");
            let info = vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout).flags(
                vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                    | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR,
            );
            let pipelines = self.device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            let pipeline = pipelines.map_err(|(_, error)| error).context("vkCreateComputePipelines")?[0];
            let compiled = self.report(pipeline);
            self.device.destroy_pipeline(pipeline, None);
            self.device.destroy_shader_module(module, None);
            self.device.destroy_pipeline_layout(layout, None);
            self.device.destroy_descriptor_set_layout(set, None);
            compiled
        }
    }

    /// What the compiler reports about a pipeline.
    fn report(&self, pipeline: vk::Pipeline) -> Result<Compiled> {
        let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        // SAFETY: the pipeline exists and was created to be reported.
        let statistics = unsafe { self.executables.get_pipeline_executable_statistics(&info) }?;
        let statistics = statistics
            .iter()
            .filter(|statistic| statistic.format == vk::PipelineExecutableStatisticFormatKHR::UINT64);
        // SAFETY: the format says that the value is a u64.
        let statistics = statistics.map(|statistic| (text(&statistic.name), unsafe { statistic.value.u64 }));
        Ok(Compiled { statistics: statistics.collect(), assembly: self.assembly(&info)? })
    }

    fn assembly(&self, info: &vk::PipelineExecutableInfoKHR<'_>) -> Result<String> {
        let read = self.executables.fp().get_pipeline_executable_internal_representations_khr;
        // SAFETY: as in `report`. Without data pointers, the driver writes the sizes of the texts.
        let mut texts = unsafe { self.executables.get_pipeline_executable_internal_representations(info) }?;
        let mut buffers: Vec<Vec<u8>> = texts.iter().map(|text| vec![0; text.data_size]).collect();
        for (text, buffer) in texts.iter_mut().zip(&mut buffers) {
            text.p_data = buffer.as_mut_ptr().cast();
        }
        let mut count = texts.len() as u32;
        // SAFETY: as above. Every buffer is as long as its text.
        unsafe { read(self.device.handle(), info, &mut count, texts.as_mut_ptr()) }.result()?;
        let assembly = texts.iter().position(|representation| text(&representation.name) == "Assembly");
        let Some(index) = assembly else { bail!("the driver shows no assembly") };
        let bytes = buffers[index].split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // SAFETY: nothing of the device or of the instance is left.
        unsafe {
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

/// The text of an array that ends with a zero.
fn text(characters: &[c_char]) -> String {
    let bytes: Vec<u8> = characters.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// SPIR-V as wgpu generates it for burn's unchecked launches on a driver of Vulkan 1.3.
fn spirv(source: &str) -> Result<Vec<u32>> {
    let module = wgsl::parse_str(source).map_err(|error| anyhow::anyhow!(error.emit_to_string(source)))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16).validate(&module)?;
    let unchecked = BoundsCheckPolicy::Unchecked;
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::LABEL_VARYINGS,
        bounds_check_policies: BoundsCheckPolicies {
            index: unchecked,
            buffer: unchecked,
            image_load: unchecked,
            binding_array: unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        emit_int_div_checks: false,
        ..spv::Options::default()
    };
    Ok(spv::write_vec(&module, &info, &options, None)?)
}

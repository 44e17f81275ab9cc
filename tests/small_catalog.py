"""A catalog of a few rows for tests: any file can be replaced, any row bent."""

from __future__ import annotations

from pathlib import Path

FILES = {
    "accelerators.csv": """\
name,family,vendor,year,memory_gib,form
A10,A10,nvidia,2021,24,server
A100-PCIE-80GB,A100,nvidia,2021,80,server
A100-SXM-40GB,A100,nvidia,2020,40,server
A100-SXM-80GB,A100,nvidia,2020,80,server
K80,K80,nvidia,2014,12,server
TPU-v3,TPU-v3,google,2018,32,tpu
""",
    "aliases.csv": "alias,accelerator\nTesla K80,K80\n",
    "instance_types.csv": """\
cloud,instance_type,accelerator,accelerator_count,vcpus,memory_gib,gpu_memory_gib,arch,stop_supported,status
aws,p4d,A100-SXM-40GB,8,96,1152,40,x86_64,true,current
aws,p4de,A100-SXM-80GB,8,96,1152,80,x86_64,true,current
aws,p2,K80,1,4,61,12,x86_64,true,retired
azure,nv6,A10,0.167,6,55,4,x86_64,true,current
azure,nv36,A10,1,36,440,,x86_64,true,current
gcp,tpu-v3-8,TPU-v3,4,,,32,x86_64,false,current
lambda,gpu_8x,A100-SXM-40GB,8,124,1800,40,x86_64,false,current
""",
    "offers/aws.csv": """\
instance_type,region,market,usd_per_hour,availability,observed_on,status,source,flags
p2,us-east-1,on-demand,0.9,open,2026-06-01,retired,list-a,
p4d,eu-west-1,on-demand,24.5,open,2026-06-01,current,list-a,
p4d,us-east-1,on-demand,21.957642,open,2026-06-01,current,list-a,
p4d,us-east-1,spot,7.25,open,2026-06-01,current,list-a,
p4d,us-west-2,on-demand,11,open,2024-01-01,current,list-a,
p4de,us-east-1,on-demand,27.44705,capacity_block,2026-06-01,current,list-a,
p4de,us-west-2,on-demand,90,open,2026-06-01,suspect,list-a,
""",
    "offers/azure.csv": """\
instance_type,region,market,usd_per_hour,observed_on,status,source
nv6,eastus,on-demand,0.454,2026-06-01,current,list-a
nv36,eastus,on-demand,3.2,2026-06-01,current,list-a
""",
    "offers/gcp.csv": """\
instance_type,region,zone,market,usd_per_hour,observed_on,status,source
tpu-v3-8,us-central1,us-central1-a,on-demand,8,2026-06-01,current,list-a
""",
    "offers/lambda.csv": """\
instance_type,region,market,usd_per_hour,observed_on,status,source
gpu_8x,us-east-1,on-demand,,2026-06-01,current,list-a
""",
    "benchmarks.csv": """\
accelerator,accelerator_count,model,precision,framework,batch_size,throughput,unit,year,source,flags
A100-SXM-40GB,1,resnet50,fp16,pytorch,256,1300,samples/s,2022,list-a,
A100-SXM-40GB,8,resnet50,fp16,pytorch,256,9000,samples/s,2020,list-a,
A100-SXM-40GB,8,resnet50,fp16,pytorch,256,9500,samples/s,2022,list-b,
A100-SXM-40GB,8,resnet50,fp32,pytorch,128,6000,samples/s,2022,list-a,
A100-SXM-80GB,8,resnet50,fp16,pytorch,256,11000,samples/s,2022,list-a,
A100-SXM-80GB,8,resnet50,fp16,mxnet,256,99000,samples/s,2023,list-a,superlinear
A100-SXM-80GB,8,mlperf-resnet50,,mxnet,,30,minutes,2021,list-a,
A10,1,gpt,bf16,pytorch,8,50000,tokens/s,2024,list-a,
""",
    "models.csv": "model,unit,source\nresnet50,samples,list-a\nmlperf-resnet50,,list-a\ngpt,tokens,list-a\n",
    "sources.csv": "source,title\nlist-a,A list\nlist-b,Another list\n",
}


def write(folder: Path, **changed: str | None) -> Path:
    """Write the small catalog into `folder`. `offers_aws="…"` replaces offers/aws.csv, None leaves a file out."""
    replaced = {_file(name): text for name, text in changed.items()}
    for file, text in {**FILES, **replaced}.items():
        if text is not None:
            put(folder, file, text)
    return folder


def put(folder: Path, file: str, text: str) -> None:
    """Write one file, folders included."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _file(name: str) -> str:
    return f"{name.replace('offers_', 'offers/')}.csv"

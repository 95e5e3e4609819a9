"""Fields of JobSet and SkyPilot, for the checks of generated manifests.

Sources: jobset.sigs.k8s.io v1alpha2 (api/jobset/v1alpha2/jobset_types.go), Kubernetes
batch/v1 and core/v1, and docs.skypilot.co/en/latest/reference/yaml-spec.html. Fields that
`nasfas launch` does not write are left out, so that a new one is looked up.
"""


def fields(required=(), **properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def several(items):
    return {"type": "array", "items": items, "minItems": 1}


TEXT = {"type": "string", "minLength": 1}
COUNT = {"type": "integer", "minimum": 1}
NOT_NEGATIVE = {"type": "integer", "minimum": 0}
TEXTS = {"type": "object", "additionalProperties": TEXT}
QUANTITIES = {"type": "object", "additionalProperties": COUNT, "minProperties": 1}
LABEL = {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}

CONTAINER = fields(
    ("name", "image"),
    name=LABEL,
    image=TEXT,
    command=several(TEXT),
    args=several(TEXT),
    env=several(
        fields(
            ("name",),
            name={"type": "string", "pattern": "^[A-Z_]+$"},
            value=TEXT,
            valueFrom=fields(("fieldRef",), fieldRef=fields(fieldPath=TEXT)),
        )
    ),
    volumeMounts=several(fields(("name", "mountPath"), name=LABEL, mountPath=TEXT)),
    resources=fields(requests=QUANTITIES, limits=QUANTITIES),
)
CSI = fields(("driver",), driver=TEXT, volumeAttributes=TEXTS)
POD = fields(
    ("containers", "restartPolicy"),
    restartPolicy={"enum": ["Never", "OnFailure"]},
    terminationGracePeriodSeconds=NOT_NEGATIVE,
    nodeSelector=TEXTS,
    volumes=several(fields(("name", "csi"), name=LABEL, csi=CSI)),
    containers=several(CONTAINER),
)
EXIT_CODES = fields(
    ("operator", "values"),
    containerName=LABEL,
    operator={"enum": ["In", "NotIn"]},
    values=several({"type": "integer", "minimum": 1, "maximum": 255}),
)
JOB = fields(
    ("template",),
    parallelism=COUNT,
    completions=COUNT,
    completionMode={"enum": ["Indexed", "NonIndexed"]},
    backoffLimit=NOT_NEGATIVE,
    activeDeadlineSeconds=COUNT,
    podFailurePolicy=fields(
        ("rules",),
        rules=several(
            fields(
                ("action",),
                action={"enum": ["FailJob", "FailIndex", "Ignore", "Count"]},
                onExitCodes=EXIT_CODES,
            )
        ),
    ),
    template=fields(("spec",), metadata=fields(annotations=TEXTS), spec=POD),
)
RULE = fields(
    ("name", "action"),
    name={"type": "string", "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
    action={"enum": ["FailJobSet", "RestartJobSet"]},
    onJobFailureReasons={
        "type": "array",
        "uniqueItems": True,
        "items": {
            "enum": ["BackoffLimitExceeded", "DeadlineExceeded", "PodFailurePolicy"]
        },
    },
)
JOBSET = fields(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "jobset.x-k8s.io/v1alpha2"},
    kind={"const": "JobSet"},
    metadata=fields(("name",), name=LABEL, annotations=TEXTS),
    spec=fields(
        ("replicatedJobs",),
        failurePolicy=fields(maxRestarts=NOT_NEGATIVE, rules=several(RULE)),
        replicatedJobs=several(
            fields(
                ("name", "template"),
                name=LABEL,
                replicas=COUNT,
                template=fields(("spec",), spec=JOB),
            )
        ),
    ),
)
SKYPILOT = fields(
    ("name", "resources", "run"),
    name=TEXT,
    num_nodes=COUNT,
    resources=fields(
        ("accelerators",),
        accelerators=TEXT,
        accelerator_args=fields(runtime_version=TEXT),
        cpus={"type": "string", "pattern": r"^\d+\+?$"},
        infra={"type": "string", "pattern": r"^gcp/[a-z0-9-]+/[a-z0-9-]+$"},
        use_spot={"type": "boolean"},
        job_recovery=fields(
            max_restarts_on_errors=NOT_NEGATIVE,
            recover_on_exit_codes={
                "type": "array",
                "uniqueItems": True,
                "items": {"type": "integer", "minimum": 0, "maximum": 255},
            },
        ),
    ),
    envs={
        "type": "object",
        "patternProperties": {"^[A-Za-z_][A-Za-z0-9_]*$": TEXT},
        "additionalProperties": False,
    },
    file_mounts={
        "type": "object",
        "additionalProperties": fields(
            ("source",), source=TEXT, mode={"enum": ["MOUNT", "COPY", "MOUNT_CACHED"]}
        ),
    },
    setup=TEXT,
    run=TEXT,
)

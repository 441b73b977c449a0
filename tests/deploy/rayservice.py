"""What KubeRay accepts of a RayService, as far as the manifests use it.

A part, written after the API reference of KubeRay 1.7 (ray.io/v1), because no package registry has the definition
itself. Fields that are not here are refused, so that a misspelt one is found. Pod templates and services are kinds of
Kubernetes and checked as such.
"""

from typing import Any

TEXT_MAP = {"type": "object", "additionalProperties": {"type": "string"}}
COUNT = {"type": "integer", "minimum": 0}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


HEAD_GROUP = _object(
    ["template", "rayStartParams"],
    template={"type": "object"},
    rayStartParams=TEXT_MAP,
    serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
)
WORKER_GROUP = _object(
    ["groupName", "template", "minReplicas", "maxReplicas", "rayStartParams"],
    groupName={"type": "string", "minLength": 1},
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    rayStartParams=TEXT_MAP,
    labels=TEXT_MAP,
    template={"type": "object"},
)
CLUSTER = _object(
    ["headGroupSpec"],
    rayVersion={"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
    authOptions=_object([], mode={"enum": ["disabled", "token"]}, secretName={"type": "string", "minLength": 1}),
    gcsFaultToleranceOptions=_object(
        ["redisAddress"], redisAddress={"type": "string"}, externalStorageNamespace={"type": "string"}
    ),
    headGroupSpec=HEAD_GROUP,
    workerGroupSpecs={"type": "array", "items": WORKER_GROUP},
)
RAY_SERVICE = _object(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayService"},
    metadata={"type": "object", "required": ["name"]},
    spec=_object(
        ["serveConfigV2", "rayClusterConfig"],
        serveConfigV2={"type": "string"},
        rayClusterConfig=CLUSTER,
        serveService={"type": "object"},
        upgradeStrategy=_object(["type"], type={"enum": ["NewCluster", "None"]}),
        excludeHeadPodFromServeSvc={"type": "boolean"},
        rayClusterDeletionDelaySeconds=COUNT,
    ),
)

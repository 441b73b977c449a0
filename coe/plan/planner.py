"""Which plan answers a request: what the client asks for, within what the configuration says.

In: the settings of plans and experts, what the router found, what the request asks. Out: a plan, or an error that names
the bound that the request is over. Where the configuration alone chose the plan, what does not fit gets one expert.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from coe.config.models import PlanConfig
from coe.errors import InvalidRequestError
from coe.plan.building import ExpertFacts, Found, PlanBuilder, PlanPrompts
from coe.plan.options import PlanOptions
from coe.plan.plans import SINGLE, Plan, Single


class Planner:
    """Knows the plans of one service.

    Args:
        plans: all of them by name, with their prompts.
        by_category: names of the plans of categories.
        experts: all of them by name, in the order of the configuration.
    """

    def __init__(
        self,
        plans: Mapping[str, tuple[PlanConfig, PlanPrompts]],
        by_category: Mapping[str, str],
        experts: Mapping[str, ExpertFacts],
    ) -> None:
        self._plans = plans
        self._by_category = by_category
        self._experts = experts

    @property
    def names(self) -> Sequence[str]:
        return tuple(self._plans)

    def plan(self, found: Found, options: PlanOptions) -> Plan:
        """The plan that `options` or else the category names.

        Raises:
            InvalidRequestError: the request names what is not there, or asks for more than the plan's bounds.
        """
        name = options.plan or self._by_category.get(found.category or "", SINGLE)
        single = Single(found.expert, found.fallback)
        if name == SINGLE:
            if options.changes_plan:
                raise InvalidRequestError(
                    "The request sets values of a plan, but none answers it; name one in `coe.plan`.", param="coe.plan"
                )
            return single
        if name not in self._plans:
            known = ", ".join((SINGLE, *self._plans))
            raise InvalidRequestError(f"There is no such plan. Known plans: {known}.", param="coe.plan")
        settings, prompts = self._plans[name]
        try:
            return PlanBuilder(name, settings, prompts, self._experts, found, options).plan()
        except InvalidRequestError as error:
            if options.plan or options.changes_plan:
                raise
            return replace(single, skipped=error.param)

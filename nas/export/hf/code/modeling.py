"""The models that transformers loads. Part of the exported file; see `../merging.py`."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from nas.export.hf.code.cache import HybridCache
from nas.export.hf.code.call import PADDING, Call, KeyValues
from nas.export.hf.code.configuration import HybridNASConfig, Spec
from nas.export.hf.code.layers import HybridNASLayer
from nas.export.hf.code.parts import RMSNorm, ShortConvolution


class HybridNASPreTrainedModel(PreTrainedModel):
    """What transformers must know of both classes below."""

    config_class = HybridNASConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = ["HybridNASLayer"]  # type: ignore[misc]  # there an instance's
    _supports_sdpa = True
    _is_stateful = True
    """A recurrent state cannot be turned back, which assisted generation would need."""

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Draw weights that no checkpoint gave; `init` leaves alone those that one gave."""
        super()._init_weights(module)
        own = dict(module.named_parameters(recurse=False))
        if isinstance(module, ShortConvolution):
            bound = module.weight.shape[1] ** -0.5
            for parameter in own.values():
                init.uniform_(parameter, -bound, bound)
        for name, value in (("A_log", 1.0), ("D", 1.0), ("dt_bias", -4.0), ("qkv_bias", 0.0)):
            if name in own:
                init.constant_(own[name], value)
        if "meta_tokens" in own:
            init.normal_(own["meta_tokens"], mean=0.0, std=self.config.initializer_range)


class HybridNASModel(HybridNASPreTrainedModel):
    """Embedding, meta tokens, residual operators, final norm."""

    def __init__(self, config: HybridNASConfig) -> None:
        super().__init__(config)
        attentions = [spec.get("attention", spec) for spec in config.operators]
        self.sources: list[int | None] = [spec.get("shares_kv_with") for spec in attentions]
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.meta_tokens = nn.Parameter(torch.empty(config.num_meta_tokens, config.hidden_size))
        self.layers = nn.ModuleList(
            HybridNASLayer(
                spec,
                is_shared=index in self.sources,
                width=config.hidden_size,
                eps=config.norm_eps,
                index=index,
                kept_window=self._kept_window(attentions, index),
            )
            for index, spec in enumerate(config.operators)
        )
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.gradient_checkpointing = False
        self.post_init()

    def _kept_window(self, attentions: list[Spec], index: int) -> int | None:
        readers = [attentions[n] for n, source in enumerate(self.sources) if source == index]
        windows = [spec.get("window") for spec in (attentions[index], *readers)]
        return None if None in windows else max(window for window in windows if window is not None)

    def get_input_embeddings(self) -> nn.Module:
        """Return the embedding."""
        return self.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the embedding."""
        assert isinstance(value, nn.Embedding)
        self.embed_tokens = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: HybridCache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Return the normed stream of the tokens given; `attention_mask` [B, past + T] is 0 for padding."""
        del kwargs  # positions follow from the mask
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Exactly one of input_ids and inputs_embeds must be given.")
        x_BTD = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        cache = self._cache(past_key_values, use_cache)
        x_BTD, call, place_BT = self._open(x_BTD, attention_mask, cache)
        streams, published = [x_BTD], dict[int, KeyValues]()
        for index, (layer, source) in enumerate(zip(self.layers, self.sources, strict=True)):
            memory = None if cache is None else cache.memories[index]
            shared = () if source is None else published[source]
            x_BTD, *made = layer(x_BTD, *shared, memory=memory, call=call)
            if made:
                published[index] = (made[0], made[1])
            if output_hidden_states:
                streams.append(x_BTD)
        streams[-1] = x_BTD = self.norm(x_BTD)
        return BaseModelOutputWithPast(
            last_hidden_state=_given(x_BTD, place_BT),
            past_key_values=cache,
            hidden_states=tuple(_given(x, place_BT) for x in streams) if output_hidden_states else None,
        )

    def _cache(self, given: HybridCache | None, use_cache: bool | None) -> HybridCache | None:
        if self.gradient_checkpointing and self.training:
            return None  # what is computed again must not be remembered twice
        if given is None:
            asked = self.config.use_cache and not self.training if use_cache is None else use_cache
            return HybridCache(len(self.layers)) if asked else None
        if not isinstance(given, HybridCache):
            raise TypeError(f"This model remembers in a HybridCache; got a {type(given).__name__}. Leave it out.")
        return given

    def _open(
        self, x_BTD: Tensor, attention_mask: Tensor | None, cache: HybridCache | None
    ) -> tuple[Tensor, Call, Tensor]:
        """Return the stream with padding and meta tokens in front, the call, and where the tokens given now stand."""
        (batch, tokens), device = x_BTD.shape[:2], x_BTD.device
        past, num_meta = 0 if cache is None else cache.tokens_seen, self.config.num_meta_tokens
        is_token_BT = torch.ones(batch, tokens, dtype=torch.bool, device=device)
        if attention_mask is not None:
            if attention_mask.ndim != 2 or attention_mask.shape[1] not in (tokens, past + tokens):
                raise ValueError(
                    f"attention_mask must be [batch, {past + tokens}] with 0 for padding; "
                    f"got {tuple(attention_mask.shape)}."
                )
            is_token_BT = attention_mask[:, -tokens:].to(device).bool()
        given_T = torch.arange(tokens, device=device)
        if num_meta and not past:
            x_BTD = torch.cat((self.meta_tokens.to(x_BTD).expand(batch, -1, -1), x_BTD), dim=1)
            is_token_BT = torch.cat((is_token_BT.new_ones(batch, num_meta), is_token_BT), dim=1)
            given_T = given_T + num_meta
        place_BT = given_T.expand(batch, -1)
        column_T, num_pads_B = torch.arange(x_BTD.shape[1], device=device), None
        start_B = place_BT.new_zeros(batch) if cache is None or cache.length_B is None else cache.length_B.to(device)
        positions_BT = start_B[:, None] + column_T
        if not bool(is_token_BT.all()):
            order_BT = torch.argsort(is_token_BT.int(), dim=1, stable=True)
            num_pads_B = (~is_token_BT).sum(1)
            x_BTD = x_BTD.gather(1, order_BT[..., None].expand_as(x_BTD))
            place_BT = torch.argsort(order_BT, dim=1)[:, -tokens:]
            is_padding_BT = column_T < num_pads_B[:, None]
            positions_BT = (positions_BT - num_pads_B[:, None]).masked_fill(is_padding_BT, PADDING)
        has_padding = num_pads_B is not None or (cache is not None and cache.has_padding)
        if cache is not None:
            cache.has_padding, cache.tokens_seen = has_padding, past + tokens
            cache.length_B = start_B + is_token_BT.sum(1)
        call = Call(
            positions_BT=positions_BT,
            num_pads_B=num_pads_B,
            has_padding=has_padding,
            end=past + tokens + num_meta,
            num_meta=num_meta,
            use_kernels=self.config.use_kernels,
        )
        return x_BTD, call, place_BT


def _given(x_BTD: Tensor, place_BT: Tensor) -> Tensor:
    """Return the stream of the tokens given, in their order."""
    return x_BTD.gather(1, place_BT[..., None].expand(-1, -1, x_BTD.shape[2]))


class HybridNASForCausalLM(HybridNASPreTrainedModel, GenerationMixin):
    """The language model."""

    _tied_weights_keys: ClassVar[dict[str, str]] = {"lm_head.weight": "model.embed_tokens.weight"}  # type: ignore[misc]  # there an instance's

    def __init__(self, config: HybridNASConfig) -> None:
        super().__init__(config)
        self.model = HybridNASModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        """Let `forward` make the cache: transformers' own cannot hold what these operators remember."""
        return False

    def get_input_embeddings(self) -> nn.Module:
        """Return the embedding."""
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the embedding."""
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """Return the head."""
        head: nn.Module = self.lm_head
        return head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the head."""
        self.lm_head = new_embeddings

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: HybridCache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast | tuple[Any, ...]:
        """Return the logits of the next token; with `labels` also the loss, which shifts them itself."""
        output = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(output.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        result = CausalLMOutputWithPast(
            loss=loss, logits=logits, past_key_values=output.past_key_values, hidden_states=output.hidden_states
        )
        return result.to_tuple() if return_dict is False else result

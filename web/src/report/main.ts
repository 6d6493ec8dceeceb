/** The bundle of report.html: what the file holds, drawn. */

import { mount } from 'svelte'
import type { Facts } from './facts'
import Page from './Page.svelte'

const place = document.getElementById('neocog')
const holder = document.getElementById('neocog-report')
if (place && holder) mount(Page, { target: place, props: { facts: JSON.parse(holder.textContent ?? '') as Facts } })
